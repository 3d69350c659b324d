"""The correction of p-values for the number of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's method, in the order of `p_values`.

    Suppose that each test with a corrected p-value below 0.05 is reported as a difference. Then the
    probability of one or more false reports is at most 5 %.

    Args:
        p_values: the p-value of each test, or NaN. NaN stays NaN and does not count as a test.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).

    >>> holm_correction([0.03, 0.01, float("nan")])
    [0.03, 0.02, nan]
    """
    finite = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    corrected = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(finite):
        largest = max(largest, min(1.0, (len(finite) - rank) * p))
        corrected[index] = largest
    return corrected
