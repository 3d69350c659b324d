"""How much narrower a network can be with trained curves, at the same score."""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from hinged.lab.experiment.settings import Settings
from hinged.lab.study.record import ConfidenceInterval, RecordRow, StudyRecord

AXIS = "network.width"
_RESAMPLES = 2000
_MIN_WIDTHS = 3
"""Smallest number of widths to interpolate between."""

_Floats = NDArray[np.float64]


class WidthSaving(Settings):
    """Filters or hidden units that trained curves save.

    Attributes:
        widths: widths whose score lies between the smallest and the largest of the baseline.
        share: share of the width that is saved at equal score, the mean over `widths`, below 1;
            negative if the baseline needs fewer.
    """

    widths: tuple[int, ...]
    share: ConfidenceInterval


def width_saving(record: StudyRecord) -> WidthSaving | None:
    """Return how much width trained curves save.

    The mean scores of the baseline are made increasing in the width (isotonic regression) and
    interpolated linearly over its logarithm. That gives the width at which the baseline has the
    score of trained curves. The interval is a percentile bootstrap with 2,000 samples of seeds, the
    same seeds for both. It covers the chance of seeds, but not errors of the interpolation.

    Returns:
        None if the record does not vary the width alone, has fewer than three widths, or has no
        width at which the scores overlap.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (Annals of Statistics 1979).
    """
    if not _varies_width_alone(record):
        return None
    rows, baseline_rows = (_rows_by_width(record, name) for name in ("hinged", record.baseline))
    if min(len(rows), len(baseline_rows)) < _MIN_WIDTHS:
        return None
    seeds = sorted(
        set.intersection(*(set(row.values) for row in (*rows.values(), *baseline_rows.values())))
    )
    scores, baseline = (_score_matrix(each, seeds) for each in (rows, baseline_rows))
    if len(seeds) < 2 or not (np.isfinite(scores).all() and np.isfinite(baseline).all()):
        return None
    mean, baseline_mean = scores.mean(axis=0), baseline.mean(axis=0)
    inside = (mean > baseline_mean.min()) & (mean < baseline_mean.max())
    if not inside.any():
        return None
    widths, baseline_widths = (np.array(list(each), dtype=float) for each in (rows, baseline_rows))

    def saved_share(sample: NDArray[np.int64]) -> float:
        needed = _width_for_score(
            scores[sample].mean(axis=0), baseline_widths, baseline[sample].mean(axis=0)
        )
        return float(1 - (widths / needed)[inside].mean())

    all_seeds = np.arange(len(seeds))
    bootstrap = scipy.stats.bootstrap(
        (all_seeds,),
        saved_share,
        vectorized=False,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = bootstrap.confidence_interval
    share = ConfidenceInterval(mean=saved_share(all_seeds), low=float(low), high=float(high))
    return WidthSaving(widths=tuple(int(width) for width in widths[inside]), share=share)


def width_saving_sentence(record: StudyRecord) -> str | None:
    """Return the saving in words, or None if there is none."""
    saving = width_saving(record)
    if saving is None:
        return None
    low, high = (f"{100 * bound:.0f} %" for bound in (saving.share.low, saving.share.high))
    is_sure = saving.share.low > 0 or saving.share.high < 0
    widths = ", ".join(str(width) for width in saving.widths)
    return (
        f"At equal score, trained curves need {100 * abs(saving.share.mean):.0f} % "
        f"{'fewer' if saving.share.mean >= 0 else 'more'} filters than {record.baseline} "
        f"(95 % interval of what is saved: {low} to {high}{'' if is_sure else ', which holds 0'}), "
        f"the mean over first blocks of {widths}; "
        f"between the widths tried, {record.baseline} is interpolated."
    )


def _varies_width_alone(record: StudyRecord) -> bool:
    """Whether the rows differ only in activation and width."""
    points = [(row.activation, *row.point.values()) for row in record.rows]
    return (
        record.baseline != "hinged"
        and record.larger_is_better
        and all(set(row.point) == {AXIS} for row in record.rows)
        and len(set(points)) == len(points)
    )


def _rows_by_width(record: StudyRecord, activation: str) -> dict[int, RecordRow]:
    rows = [row for row in record.rows if row.activation == activation and AXIS in row.point]
    return {row.point[AXIS]: row for row in sorted(rows, key=lambda row: row.point[AXIS])}


def _score_matrix(rows: dict[int, RecordRow], seeds: list[int]) -> _Floats:
    """Return the scores, shape `(seeds, widths)`; NaN for diverged trainings."""
    values = [[row.values[seed] for row in rows.values()] for seed in seeds]
    return np.array([[math.nan if v is None else v for v in line] for line in values])


def _width_for_score(scores: _Floats, widths: _Floats, scores_at_widths: _Floats) -> _Floats:
    """Return the interpolated width for each score; the smallest or largest width for scores
    outside `scores_at_widths`."""
    logs = np.log(widths)
    rising = scipy.optimize.isotonic_regression(scores_at_widths).x
    # If two widths have equal scores, the narrower one is enough.
    first = np.concatenate(([True], np.diff(rising) > 0))
    return np.exp(np.interp(scores, rising[first], logs[first]))
