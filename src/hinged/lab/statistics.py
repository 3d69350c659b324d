"""Paired comparison of scores; SciPy does the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


class Paired(NamedTuple):
    """Differences of paired scores.

    Attributes:
        difference: mean difference with its confidence interval.
        p: two-sided p-value of the paired t-test.
        pairs: how many pairs there were.
    """

    difference: Interval
    p: float
    pairs: int


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and its Student t interval; the interval is NaN for a single score."""
    mean = float(np.mean(scores))
    if len(scores) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(scipy.stats.sem(scores) * scipy.stats.t.ppf((1 + confidence) / 2, len(scores) - 1))
    return Interval(mean, mean - half, mean + half)


def paired(scores: Sequence[float], baseline: Sequence[float]) -> Paired:
    """Compare scores with the baseline's from the same seeds.

    Where all differences are equal there is no spread to test by: p is 1 if they are 0 and NaN
    otherwise.

    Source: Student, "The probable error of a mean" (Biometrika 1908).
    """
    differences = np.asarray(scores, dtype=float) - np.asarray(baseline, dtype=float)
    # Equal differences of fractions are rarely equal to the last bit.
    if np.ptp(differences) <= 1e-12 * (1 + np.abs(differences).max()):
        p = 1.0 if abs(differences[0]) <= 1e-12 else math.nan
    else:
        p = float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)
    return Paired(mean_interval(differences.tolist()), p, len(differences))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of comparisons; NaN stays and does not count.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    finite = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(finite):
        largest = max(largest, min(1.0, (len(finite) - rank) * p))
        corrected[place] = largest
    return corrected
