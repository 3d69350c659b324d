"""Steps of curves in their metric, and the moments of inputs, computed by the fastest kernel."""

from __future__ import annotations

import ctypes
import math
import struct

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from hinged import errors
from hinged.curve import metric
from hinged.curve.curve import check_shapes
from hinged.curve.metric import MetricState, MetricStep
from hinged.kernels import triton_kernel
from hinged.kernels.cpu_kernel import DTYPES
from hinged.kernels.cpu_library import load_cpu_library
from hinged.kernels.eager_calls import is_eager_call
from hinged.kernels.memory_layout import MemoryLayout, as_dense, is_lazy, memory_layout
from hinged.kernels.select_kernel import select_kernel
from hinged.kernels.triton_kernel import TritonKernel

SAMPLE_SIZE = 2048
"""About how many inputs of a channel a sample has. Channels with less than twice as many inputs are
measured on all of them."""

_CALL = "hinged.param_groups(smoothing=...)"

# The formats of the structs `MetricStep`, `InputMoments` and `MomentsUpdate` in metric.hpp.
_STEP = struct.Struct("@6P3qd2P7d")
_MOMENTS = struct.Struct("@3P6q2i")
_UPDATE = struct.Struct("@2P2qd")


class LayerSteps:
    """Takes steps of the curves of one layer in their metric, computed by the fastest kernel.

    On a CPU, compiled code computes a step in float64, from the five diagonals of the metric. On a
    GPU, one kernel of Triton does so. Plain torch computes all other steps. The dtypes and devices
    are checked once.

    Args:
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        state: the running means of the layer, which change in place.
    """

    def __init__(self, hinges: Tensor, state: MetricState) -> None:
        check_shapes(_CALL, state.start, hinges, "linear", None)
        self.hinges, self.state = hinges, state
        running = (state.direction, state.size, state.largest, state.start, state.moments)
        self._device = state.start.device
        self._is_plain = _are_plain(running, self._device)
        self._library: ctypes.CDLL | None = None
        if self._is_plain and hinges.is_cpu and _are_plain((hinges,), self._device):
            self._library = load_cpu_library().handle
            self._shape = (*state.start.shape, hinges.numel() > hinges.shape[-1])

    def update_moments(self, moments: Tensor, weight: float) -> None:
        """Move the running mean of the moments: `hinged.curve.metric.update_moments`."""
        mean = self.state.moments
        if self._library is None or not _are_plain((moments,), self._device):
            metric.update_moments(mean, moments, weight)
            return
        arguments = _UPDATE.pack(mean.data_ptr(), moments.data_ptr(), *mean.shape, weight)
        _raise_if_failed(self._library.hinged_update_moments(arguments))
        increment_version(mean)

    def take(self, values: Tensor, grad: Tensor, step: MetricStep) -> None:
        """Take one step: `hinged.curve.metric.take_step`. `values` change in place."""
        if not values.shape == grad.shape == self.state.start.shape:
            got = f"values of shape {tuple(values.shape)} and gradients of {tuple(grad.shape)}"
            hint = f"expected {tuple(self.state.start.shape)}, as at the first step"
            raise errors.ArgumentError(errors.message(_CALL, got, hint))
        plain = self._is_plain and _are_plain((values, grad), self._device)
        if plain and self._library is not None:
            self._take_on_cpu(self._library, values, grad, step)
        elif plain and _triton_computes(values, self.hinges):
            from hinged.kernels import triton_metric_launch

            triton_metric_launch.take_step(values, grad, self.hinges, self.state, step)
        elif _has_float64(self._device):
            metric.take_step(values, grad, self.hinges, self.state, step)
            return
        else:
            self._take_with_copies(values, grad, step)
            return
        increment_version(values)

    def _take_with_copies(self, values: Tensor, grad: Tensor, step: MetricStep) -> None:
        """Take a step on the CPU, and copy what it changes back to the device."""
        state, moved = self.state, values.cpu()
        copy = MetricState(*(each.cpu() for each in state))
        metric.take_step(moved, grad.cpu(), self.hinges.cpu(), copy, step)
        values.copy_(moved)
        for name in ("direction", "size", "largest"):
            getattr(state, name).copy_(getattr(copy, name))

    def _take_on_cpu(
        self, library: ctypes.CDLL, values: Tensor, grad: Tensor, step: MetricStep
    ) -> None:
        state = self.state
        # Addresses are read in every step: sharing a tensor with another process moves its numbers.
        packed = _STEP.pack(
            state.direction.data_ptr(),
            state.size.data_ptr(),
            state.largest.data_ptr(),
            state.start.data_ptr(),
            state.moments.data_ptr(),
            self.hinges.data_ptr(),
            *self._shape,
            metric.FLOOR,
            values.data_ptr(),
            grad.data_ptr(),
            step.rate,
            step.pull,
            step.smoothing,
            step.keep_direction,
            step.keep_size,
            step.direction_correction,
            step.size_correction,
        )
        _raise_if_failed(library.hinged_metric_step(packed))


def input_moments(
    x: Tensor, hinges: Tensor, channels: int, dim: int, tails: str = "linear"
) -> Tensor:
    """Return the moments of a part of the inputs: `hinged.curve.metric.input_moments`, faster.

    Args:
        x: inputs; axis `dim` has `channels` entries, or any number if `channels` is 1.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        channels: the number of channels `C`.
        dim: the channel axis of `x`.
        tails: the tails of the curves.

    Returns:
        A tensor of shape `(C, 2 K + 1)`. It is 0 if `x` is empty.

    >>> input_moments(torch.tensor([[0.5], [2.0]]), torch.tensor([0.0, 1.0]), channels=1, dim=1)
    tensor([[ 0.6250,  2.1250, -0.8750,  1.2500,  2.1250]])
    """
    if hinges.dim() == 2 and hinges.shape[0] not in (1, channels):
        got = f"hinges of shape {tuple(hinges.shape)} for {channels} channels"
        hint = "expected (K,) or (C, K), for K hinges and C channels"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    if x.numel() == 0:
        dtype = torch.promote_types(x.dtype, torch.float32)
        return x.new_zeros(channels, 2 * hinges.shape[-1] + 1, dtype=dtype)
    compiled = x.is_cpu and x.dtype in DTYPES and _are_plain((hinges,), x.device)
    library = load_cpu_library().handle if compiled else None
    if library is None and not _triton_computes(x, hinges):
        rows = x.movedim(dim, 0).reshape(channels, -1) if channels > 1 else x.reshape(1, -1)
        return metric.input_moments(rows[:, :: _sample_step(rows.shape[1])], hinges, tails)
    x = as_dense(x)
    layout = memory_layout(x, channels, dim)
    sample_step = _sample_step(layout[0] * layout[2])
    if library is not None:
        return _input_moments_on_cpu(library, x, hinges, layout, sample_step, tails)
    from hinged.kernels import triton_metric_launch

    return triton_metric_launch.input_moments(x, hinges, layout, sample_step, tails)


def _input_moments_on_cpu(
    library: ctypes.CDLL,
    x: Tensor,
    hinges: Tensor,
    layout: MemoryLayout,
    sample_step: int,
    tails: str,
) -> Tensor:
    count = hinges.shape[-1]
    moments = torch.empty(layout[1], 2 * count + 1, dtype=torch.float32)
    arguments = _MOMENTS.pack(
        x.data_ptr(),
        hinges.data_ptr(),
        moments.data_ptr(),
        *layout,
        count,
        hinges.numel() > count,
        sample_step,
        DTYPES[x.dtype],
        tails == "linear",
    )
    _raise_if_failed(library.hinged_input_moments(arguments))
    return moments


def _sample_step(inputs: int) -> int:
    """Return the distance between inputs of a sample, without a factor in common with their number.

    The sample then contains inputs from all positions of an image, in any memory format.
    """
    step = max(1, inputs // SAMPLE_SIZE)
    while math.gcd(step, inputs) > 1:
        step += 1
    return step


def _are_plain(tensors: tuple[Tensor, ...], device: torch.device) -> bool:
    """Return whether compiled code can read tensors as contiguous float32 numbers on a device."""
    for tensor in tensors:  # The function `all` with a generator takes a microsecond longer.
        if tensor.dtype is not torch.float32 or tensor.device != device:
            return False
        if not tensor.is_contiguous() or is_lazy(tensor):
            return False
    return is_eager_call(*tensors)


def _triton_computes(x: Tensor, hinges: Tensor) -> bool:
    """Return whether the kernels of Triton compute calls with these inputs, or these values."""
    return (
        isinstance(select_kernel(x, hinges, hinges), TritonKernel)
        and hinges.dtype in triton_kernel.DTYPES
        and hinges.is_contiguous()
        and not is_lazy(hinges)
        and hinges.device == x.device
    )


def _has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64. GPUs of Apple do not."""
    return device.type != "mps"


def _raise_if_failed(status: int) -> None:
    if status != 0:
        raise MemoryError("hinged: there is not enough memory for a step of the curves.")
