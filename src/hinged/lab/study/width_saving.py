"""How much narrower a network with trained curves may be at the same score."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from hinged.lab.experiment.settings import Settings
from hinged.lab.study.record import Record, Row, Span

AXIS = "network.width"
_RESAMPLES = 2000
_FEWEST = 3
"""Widths it takes to draw a line through."""

_Floats = NDArray[np.float64]


class Saving(Settings):
    """Filters or hidden units that trained curves save.

    Attributes:
        widths: those whose score lies between the smallest and the largest of the baseline.
        share: saved at equal score, the mean over `widths`, between 0 and 1; negative where the
            baseline needs fewer.
    """

    widths: tuple[int, ...]
    share: Span


def saving(record: Record) -> Saving | None:
    """Return what trained curves save, or None where the record has no answer: fewer than three
    widths, or no width at which the two scores overlap.

    The baseline's mean scores are made increasing in the width (isotonic regression) and joined by
    straight lines over its logarithm; the width at which that line has the score of trained curves
    is what the baseline needs. The interval is the bootstrap's, 2,000 samples of seeds, the same
    for both: it covers a chance of seeds, not of the lines.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (Annals of Statistics 1979).
    """
    if not _asks(record):
        return None
    ours, theirs = (_by_width(record, name) for name in ("hinged", record.baseline))
    if min(len(ours), len(theirs)) < _FEWEST:
        return None
    seeds = sorted(
        set.intersection(*(set(row.values) for row in (*ours.values(), *theirs.values())))
    )
    mine, other = (_scores(rows, seeds) for rows in (ours, theirs))
    if len(seeds) < 2 or not (np.isfinite(mine).all() and np.isfinite(other).all()):
        return None
    line = other.mean(axis=0)
    inside = (mine.mean(axis=0) > line.min()) & (mine.mean(axis=0) < line.max())
    if not inside.any():
        return None
    widths, known = (np.array(list(rows), dtype=float) for rows in (ours, theirs))

    def share(drawn: NDArray[np.int64]) -> float:
        needed = _needed(mine[drawn].mean(axis=0), known, other[drawn].mean(axis=0))
        return float(1 - (widths / needed)[inside].mean())

    samples = np.random.default_rng(0).integers(0, len(seeds), size=(_RESAMPLES, len(seeds)))
    low, high = np.quantile([share(drawn) for drawn in samples], (0.025, 0.975))
    middle = share(np.arange(len(seeds)))
    found = tuple(int(width) for width in widths[inside])
    return Saving(widths=found, share=Span(mean=middle, low=float(low), high=float(high)))


def sentence(record: Record) -> str | None:
    """Return the saving in words, or None where there is none to tell."""
    found = saving(record)
    if found is None:
        return None
    low, high = (f"{100 * bound:.0f} %" for bound in (found.share.low, found.share.high))
    sure = found.share.low > 0 or found.share.high < 0
    widths = ", ".join(str(width) for width in found.widths)
    return (
        f"At equal score, trained curves need {100 * abs(found.share.mean):.0f} % "
        f"{'fewer' if found.share.mean >= 0 else 'more'} filters than {record.baseline} "
        f"(95 % interval of what is saved: {low} to {high}{'' if sure else ', which holds 0'}), "
        f"the mean over first blocks of {widths}; "
        f"between the widths tried, {record.baseline} is interpolated."
    )


def _asks(record: Record) -> bool:
    """Whether scores of curves and a baseline stand at widths, and at nothing else."""
    places = [(row.activation, *row.point.values()) for row in record.rows]
    return (
        record.baseline != "hinged"
        and record.larger_is_better
        and all(set(row.point) == {AXIS} for row in record.rows)
        and len(set(places)) == len(places)
    )


def _by_width(record: Record, activation: str) -> dict[int, Row]:
    rows = [row for row in record.rows if row.activation == activation and AXIS in row.point]
    return {row.point[AXIS]: row for row in sorted(rows, key=lambda row: row.point[AXIS])}


def _scores(rows: dict[int, Row], seeds: list[int]) -> _Floats:
    """Return the scores, `(seeds, widths)`; NaN for what a training did not give."""
    values = [[row.values[seed] for row in rows.values()] for seed in seeds]
    return np.array([[math.nan if v is None else v for v in line] for line in values])


def _needed(scores: _Floats, widths: _Floats, line: _Floats) -> _Floats:
    """Return the widths at which a line of scores reaches others; its ends where it does not."""
    logs = np.log(widths)
    rising = IsotonicRegression().fit_transform(logs, line)
    # Equal scores at two widths: the narrower one is enough, so the first of them is found.
    first = np.concatenate(([True], np.diff(rising) > 0))
    return np.exp(np.interp(scores, rising[first], logs[first]))
