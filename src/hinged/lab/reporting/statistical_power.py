"""The number of seeds that the paired t-test needs to find a difference."""

from __future__ import annotations

import math

import scipy.stats


def power(difference: float, spread: float, pairs: int, level: float = 0.05) -> float:
    """Return the power of the paired t-test: the probability that it finds a true difference.

    Args:
        difference: the true mean of the paired differences.
        spread: standard deviation of the paired differences, above 0.
        pairs: number of pairs, at least 2.
        level: significance level of the two-sided test, from 0 to 1.

    >>> round(power(0.5, 1.0, 34), 3)
    0.808
    """
    bound = scipy.stats.t.ppf(1 - level / 2, pairs - 1)
    shift = abs(difference) / spread * math.sqrt(pairs)
    below, inside = scipy.stats.nct.cdf([-bound, bound], pairs - 1, shift)
    # SciPy returns NaN for the lower tail if its probability is below 1e-16.
    return float(1 - inside + (0.0 if math.isnan(below) else below))


def pairs_needed(
    difference: float, spread: float, wanted: float = 0.8, level: float = 0.05, most: int = 10_000
) -> int:
    """Return the smallest number of pairs for which the paired t-test has the wanted power.

    Args:
        difference: the true mean of the paired differences.
        spread: standard deviation of the paired differences. If it is 0, the result is 2.
        wanted: the wanted power, from 0 to 1: the probability that the test finds the difference.
        level: significance level of the two-sided test, from 0 to 1.
        most: the largest possible result. It is returned if more pairs would be needed.

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
