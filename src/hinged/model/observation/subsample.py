"""Selects a part of a large tensor that is sufficient for statistics."""

from __future__ import annotations

import math

from torch import Tensor

ENOUGH = 2**16
"""The size of a sample that is sufficient for means, standard deviations and histograms."""


def subsample(x: Tensor) -> Tensor:
    """Return every n-th entry of a large tensor along its first axis, about 2 ** 16 numbers.

    A small tensor is returned whole. The step `n` and the length of the axis have no common factor.
    If two axes, such as batch and position, were flattened into this axis, the selected entries
    therefore come from all positions.

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
