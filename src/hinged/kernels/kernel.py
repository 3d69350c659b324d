"""`Kernel`: the interface of every kernel, and the tensors that a kernel computes with."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hinged.kernels.memory_layout import MemoryLayout, is_lazy

CurveTensors = tuple[Tensor, Tensor, Tensor | None, str, bool]
"""The curves `(values, hinges, tail_slopes, tails, uniform)` for a kernel.

All tensors are contiguous and in float32. `values` has shape `(C, K)`. `hinges` has shape `(K,)` or
`(C, K)`, and each row ascends. `tail_slopes` has shape `(C, 2)` for free tails and is None
otherwise. `tails` is `"linear"`, `"constant"` or `"free"`. `uniform` is True if the hinges are
known to be equally spaced. False is always correct.
"""

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""The gradients of the loss with respect to `x`, `values` and `tail_slopes`.

A gradient that is not needed is None. The gradient with respect to `x` has the dtype and strides of
`x`. The other two are in float32.
"""


class Kernel(Protocol):
    """Interface of a kernel: the forward and the backward pass of curves on one kind of device.

    In every call, `x` and `grad_y` are dense and have the same strides, and `layout` describes
    both. `needs_grad` has two flags: whether to compute the gradient with respect to `x`, and
    whether to compute the gradients with respect to the curves. A gradient that is not needed is
    returned as None. The gradient with respect to `tail_slopes` is also None if the tails are not
    free.
    """

    @property
    def name(self) -> str:
        """The name that `hinged.kernels.use_kernel` accepts and `hinged info` prints."""

    @property
    def uses_spacing(self) -> bool:
        """Whether the kernel is faster if it is told that the hinges are equally spaced."""

    def supports(self, x: Tensor) -> bool:
        """Return whether the kernel supports the device and the dtype of `x`."""

    def forward(self, x: Tensor, curves: CurveTensors, layout: MemoryLayout) -> Tensor:
        """Return the outputs of the curves for the inputs `x`, with the shape, dtype and strides of
        `x`."""

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        curves: CurveTensors,
        layout: MemoryLayout,
        needs_grad: tuple[bool, bool],
    ) -> Gradients:
        """Return the gradients of the loss with respect to `x`, the values and the slopes of free
        tails.

        `grad_y` is the gradient of the loss with respect to the result of `forward`.
        """


def curve_tensors(
    values: Tensor, hinges: Tensor, tail_slopes: Tensor | None, tails: str, uniform: bool
) -> CurveTensors:
    """Return `CurveTensors` from tensors with any floating-point dtype and any memory layout."""
    slopes = None if tail_slopes is None else _contiguous_float32(tail_slopes)
    return _contiguous_float32(values), _contiguous_float32(hinges), slopes, tails, uniform


def _contiguous_float32(tensor: Tensor) -> Tensor:
    if tensor.dtype is torch.float32 and tensor.is_contiguous() and not is_lazy(tensor):
        return tensor
    return torch.empty(tensor.shape, dtype=torch.float32, device=tensor.device).copy_(tensor)
