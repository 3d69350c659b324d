"""Measures the numbers in the input of an activation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged.kernels.eager_calls import is_intercepted
from hinged.kernels.nested_tensors import numbers_in
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.moments import Moments
from hinged.model.observation.subsample import subsample


class InputStatistics(NamedTuple):
    """Statistics of an input, over all channels together.

    Attributes:
        moments: the mean and variance; empty if the input is not measured.
        histogram: the histogram; empty if the input is not measured.
        failure: why the input cannot be measured; empty if it can.
    """

    moments: Moments
    histogram: Histogram
    failure: str


def measure(x: Tensor, *, measured: bool) -> InputStatistics:
    """Return statistics of a sample of the numbers in `x`; empty ones if not `measured`."""
    sample = torch.zeros(0, device=x.device)
    failure = _why_not_measurable(x)
    if measured and x.is_floating_point() and not failure:
        sample = subsample(numbers_in(x.detach())).contiguous()
    return InputStatistics(Moments.of(sample), Histogram.of(sample), failure)


def _why_not_measurable(x: Tensor) -> str:
    if is_intercepted(x):
        return "it is inside a transform of torch.func, where its inputs cannot be measured"
    is_dense = x.layout in (torch.strided, torch.jagged)
    return "" if is_dense else "its input is sparse, and curves compute dense tensors only"
