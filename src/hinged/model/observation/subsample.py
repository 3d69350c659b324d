"""Takes a part of a large tensor that is enough for statistics."""

from __future__ import annotations

import math

from torch import Tensor

ENOUGH = 2**16
"""How many numbers are enough for moments and a histogram."""


def subsample(x: Tensor) -> Tensor:
    """Return every n-th entry along the first axis of a large tensor, about 2 ** 16 numbers.

    The step `n` and the length of the axis have no common factor. In a flattened tensor, the
    numbers that are taken therefore come from all positions along each of its former axes.

    >>> import torch
    >>> len(subsample(torch.zeros(2**18))), len(subsample(torch.zeros(1000)))
    (52429, 1000)
    """
    step = x.numel() // ENOUGH
    if step <= 1:
        return x
    while math.gcd(step, len(x)) > 1:
        step += 1
    return x[::step]
