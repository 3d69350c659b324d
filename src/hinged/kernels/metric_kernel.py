"""Steps of curves in their metric, and the moments of inputs, computed by the fastest kernel."""

from __future__ import annotations

import math
import struct

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from hinged.curve import metric
from hinged.curve.metric import MetricState, MetricStep
from hinged.kernels.cpu_kernel import DTYPES
from hinged.kernels.cpu_library import load_cpu_library
from hinged.kernels.eager_calls import is_eager_call
from hinged.kernels.memory_layout import as_dense, memory_layout

MOST_SAMPLES = 2048
"""The number of inputs of a channel from which moments are computed. More inputs are subsampled."""

# The formats of the structs `MetricStep` and `InputMoments` in metric.hpp.
_STEP = struct.Struct("@7P3q8d")
_MOMENTS = struct.Struct("@3P6qi")


def take_step(
    values: Tensor, grad: Tensor, hinges: Tensor, state: MetricState, step: MetricStep
) -> None:
    """Take one step of gradient descent in the metric: `hinged.curve.metric.take_step`, faster.

    On a CPU, compiled code computes the step in float64 from the five diagonals of the metric. The
    arguments are those of `hinged.curve.metric.take_step`.
    """
    handle, _ = load_cpu_library()
    running = (state.direction, state.size, grad, state.start, state.moments)
    tensors = (values, *running, hinges)
    if handle is None or not all(_is_plain(tensor) for tensor in tensors):
        metric.take_step(values, grad, hinges, state, step)
        return
    channels, count = values.shape
    arguments = _STEP.pack(
        *[tensor.data_ptr() for tensor in tensors],
        channels,
        count,
        hinges.dim() == 2,
        step.rate,
        step.pull,
        step.smoothing,
        metric.FLOOR,
        step.keep_direction,
        step.keep_size,
        step.direction_correction,
        step.size_correction,
    )
    _raise_if_failed(handle.hinged_metric_step(arguments))
    increment_version(values)


def input_moments(x: Tensor, hinges: Tensor, channels: int, dim: int) -> Tensor:
    """Return the moments of a part of the inputs: `hinged.curve.metric.input_moments`, faster.

    Args:
        x: inputs; axis `dim` has `channels` entries, or any number if `channels` is 1.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        channels: the number of channels `C`.
        dim: the channel axis of `x`.

    Returns:
        A tensor of shape `(C, 2 K + 1)`.

    >>> input_moments(torch.tensor([[0.5], [2.0]]), torch.tensor([0.0, 1.0]), channels=1, dim=1)
    tensor([[0.1250, 0.6250, 0.1250, 1.2500, 2.1250]])
    """
    handle, _ = load_cpu_library()
    if handle is None or not (x.is_cpu and x.dtype in DTYPES and _is_plain(hinges)):
        rows = x.movedim(dim, 0).reshape(channels, -1) if channels > 1 else x.reshape(1, -1)
        return metric.input_moments(rows[:, :: _sample_step(rows.shape[1], 1)], hinges)
    x = as_dense(x)
    outer, channels, inner = memory_layout(x, channels, dim)
    count = hinges.shape[-1]
    moments = torch.empty(channels, 2 * count + 1)
    arguments = _MOMENTS.pack(
        x.data_ptr(),
        hinges.data_ptr(),
        moments.data_ptr(),
        outer,
        channels,
        inner,
        count,
        hinges.dim() == 2,
        _sample_step(outer * inner, inner),
        DTYPES[x.dtype],
    )
    _raise_if_failed(handle.hinged_input_moments(arguments))
    return moments


def _sample_step(inputs: int, period: int) -> int:
    """Return the distance between inputs of a sample, without a factor in common with `period`.

    The sample then contains inputs from all positions of an image.
    """
    step = max(1, inputs // MOST_SAMPLES)
    while math.gcd(step, period) > 1:
        step += 1
    return step


def _is_plain(tensor: Tensor) -> bool:
    """Return whether compiled code can read a tensor as contiguous float32 numbers on the CPU."""
    return (
        tensor.dtype is torch.float32
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and is_eager_call(tensor)
    )


def _raise_if_failed(status: int) -> None:
    if status != 0:
        raise MemoryError("hinged: there is not enough memory for a step of the curves.")
