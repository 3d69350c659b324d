"""Paired comparison of scores; SciPy does the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

_EXACT = 16
"""Up to so many differences all choices of signs are counted."""
_DRAWS = 100_000
_RESAMPLES = 10_000


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


def pairs(
    scores: Mapping[int, float | None], baseline: Mapping[int, float | None]
) -> tuple[list[float], list[float]]:
    """Return both scores of the seeds that have one on both sides; None and what is not finite are
    none.

    >>> pairs({0: 1.0, 1: 2.0, 2: None}, {1: 3.0, 2: 4.0})
    ([2.0], [3.0])
    """
    found = ((score, baseline.get(seed)) for seed, score in scores.items())
    both = [(a, b) for a, b in found if a is not None and b is not None]
    finite = [(a, b) for a, b in both if math.isfinite(a) and math.isfinite(b)]
    return [a for a, _ in finite], [b for _, b in finite]


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and its Student t interval; the interval is NaN for a single score, and both
    are for none."""
    mean = float(np.mean(scores)) if len(scores) else math.nan
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


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the permutation test of paired differences.

    If the two of a pair are exchangeable, every difference may as well have the other sign: p is
    the share of all `2^n` choices of signs whose mean is at least as far from 0. Beyond 16
    differences, 100,000 choices are drawn, always the same, and the one at hand counts as one.

    Source: Fisher, "The design of experiments" (1935), section 21.

    >>> sign_flip([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, dtype=float)
    exact = len(values) <= _EXACT
    if exact:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(_DRAWS, len(values)))
    sums = np.abs((2 * bits - 1) @ values)
    # Sums of the same numbers in another order differ in their last bits.
    far = int((sums >= np.abs(values.sum()) - 1e-12 * np.abs(values).sum()).sum())
    return far / len(bits) if exact else (far + 1) / (_DRAWS + 1)


def bootstrap_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and the percentile interval of the means of 10,000 samples drawn from
    `scores` with replacement, always the same; NaN for a single score.

    It needs no normal distribution, but is too narrow for few scores: with 5 it covers the truth
    about 83 times in 100.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (Annals of Statistics 1979).
    """
    values = np.asarray(scores, dtype=float)
    if len(values) < 2:
        return Interval(float(values.mean()), math.nan, math.nan)
    rows = np.random.default_rng(0).integers(0, len(values), size=(_RESAMPLES, len(values)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[rows].mean(axis=1), (tail, 1 - tail))
    return Interval(float(values.mean()), float(low), float(high))


def power(difference: float, spread: float, pairs: int, level: float = 0.05) -> float:
    """Return how probably the paired t-test finds a difference at a level.

    Args:
        difference: the true mean difference.
        spread: standard deviation of the differences, above 0.
        pairs: number of pairs, at least 2.
        level: of the two-sided test.

    >>> round(power(0.5, 1.0, 34), 3)
    0.808
    """
    bound = scipy.stats.t.ppf(1 - level / 2, pairs - 1)
    shift = abs(difference) / spread * math.sqrt(pairs)
    below, inside = scipy.stats.nct.cdf([-bound, bound], pairs - 1, shift)
    # Where SciPy gives up on the far side, less than 1e-16 lies there.
    return float(1 - inside + (0.0 if math.isnan(below) else below))


def pairs_needed(
    difference: float, spread: float, wanted: float = 0.8, level: float = 0.05, most: int = 10_000
) -> int:
    """Return the fewest pairs with which the paired t-test finds a difference with the power
    wanted; `most` where it takes more than that.

    >>> pairs_needed(0.002, spread=0.004)  # 0.2 points of accuracy
    34
    """
    if spread <= 0:
        return 2
    high = 2
    while high < most and power(difference, spread, high, level) < wanted:
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, spread, middle, level) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


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
