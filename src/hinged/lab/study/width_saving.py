"""The width that trained curves save: how much narrower a network can be at the same score.

The width is the number of filters in the first block, or of hidden units in each layer.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from hinged.lab.experiment.settings import Settings
from hinged.lab.study.record import ConfidenceInterval, RecordRow, StudyRecord
from hinged.lab.study.wording import activation_words, join

AXIS = "network.width"
_RESAMPLES = 2000
_MIN_WIDTHS = 3
"""Smallest number of trained widths from which the saved width is interpolated."""

_Floats = NDArray[np.float64]


class WidthSaving(Settings):
    """The part of a network's width that trained curves save at the same score as the baseline.

    Attributes:
        widths: the widths at which the mean score of curves lies between the smallest and the
            largest mean score of the baseline.
        share: fraction of the width that is saved, the mean over `widths`, with its 95 % interval.
            It is below 1, and negative if the baseline can be narrower than curves.
    """

    widths: tuple[int, ...]
    share: ConfidenceInterval


def width_saving(record: StudyRecord) -> WidthSaving | None:
    """Return how much narrower a network with trained curves is than the baseline at equal score.

    First, isotonic regression makes the mean scores of the baseline increase with the width. The
    scores are then interpolated linearly over the logarithm of the width. For each width of the
    network with curves, the interpolation gives the width that the baseline needs for that score.

    The confidence interval comes from a percentile bootstrap: 2,000 samples of the seeds, the same
    seeds for curves and baseline. It covers the randomness of seeds, not errors of interpolation.

    Returns:
        The saved fraction of the width with its confidence interval. None in these cases:
        the experiments differ in other settings than the width; curves are the baseline; there are
        fewer than three widths or fewer than two common seeds; a score is not finite; no mean score
        of curves lies between the smallest and the largest mean score of the baseline.

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
    """Return a sentence about the width that curves save; None if `width_saving` returns None."""
    saving = width_saving(record)
    if saving is None:
        return None
    low, high = (f"{100 * bound:.0f} %" for bound in (saving.share.low, saving.share.high))
    is_sure = saving.share.low > 0 or saving.share.high < 0
    widths = join([str(width) for width in saving.widths])
    baseline = activation_words(record.baseline)
    return (
        f"At equal score, trained curves need {100 * abs(saving.share.mean):.0f} % "
        f"{'fewer' if saving.share.mean >= 0 else 'more'} filters than {baseline} "
        f"(95 % interval of the saved fraction: {low} to {high}"
        f"{'' if is_sure else ', which contains 0'}). This is the mean over networks with {widths} "
        f"filters in their first block. Scores of {baseline} between the trained widths are "
        "interpolated."
    )


def _varies_width_alone(record: StudyRecord) -> bool:
    """Whether the rows of a record differ only in the activation and in the width."""
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
    """Return the scores in an array of shape `(seeds, widths)`, with NaN in place of None."""
    values = [[row.values[seed] for row in rows.values()] for seed in seeds]
    return np.array([[math.nan if v is None else v for v in line] for line in values])


def _width_for_score(scores: _Floats, widths: _Floats, scores_at_widths: _Floats) -> _Floats:
    """Return the width that a network needs for each score, by interpolation.

    A score below or above all `scores_at_widths` needs the smallest or the largest width.

    Args:
        scores: the scores to reach.
        widths: the trained widths, increasing.
        scores_at_widths: mean score at each trained width.
    """
    logs = np.log(widths)
    rising = scipy.optimize.isotonic_regression(scores_at_widths).x
    # If two widths have equal scores, the narrower one is enough.
    first = np.concatenate(([True], np.diff(rising) > 0))
    return np.exp(np.interp(scores, rising[first], logs[first]))
