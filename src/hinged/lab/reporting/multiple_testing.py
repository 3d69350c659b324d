"""Corrects p-values for the number of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Return Holm's corrected p-values, in the order given.

    If every corrected p-value below 0.05 is called a difference, the probability of any false call
    is at most 5 %. NaN stays NaN and does not count as a test.

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
