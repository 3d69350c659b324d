"""`Kernel`: the interface of every kernel, and the tensors that it computes with."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hinged.kernels.memory_layout import MemoryLayout

CurveTensors = tuple[Tensor, Tensor, Tensor | None, str, bool]
"""`(values, hinges, tail_slopes, tails, uniform)`; the tensors are contiguous and in float32.

`values` has shape `(C, K)`; `hinges` has shape `(K,)` or `(C, K)` and ascends; `tail_slopes` has
shape `(C, 2)` for free tails and is None otherwise; `tails` is `"linear"`, `"constant"` or
`"free"`; `uniform` says that the hinges are known to be equally spaced.
"""

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Gradients of `x`, in its dtype and strides, and of `values` and `tail_slopes`, in float32."""


class Kernel(Protocol):
    """The forward and the backward pass on one kind of device.

    `x` and `grad_y` are dense and have the same strides. `needs_grad` says whether the gradient of
    `x` is needed, and whether the gradients of the curves are. A gradient that is not needed, or
    whose tensor does not exist, is None.
    """

    @property
    def name(self) -> str:
        """The name that `hinged.kernels.use_kernel` takes and `hinged info` prints."""

    def supports(self, x: Tensor) -> bool:
        """Whether the kernel computes on the device and in the dtype of `x`."""

    def forward(self, x: Tensor, curves: CurveTensors, layout: MemoryLayout) -> Tensor:
        """Return the curves at `x`, in its shape, dtype and strides."""

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        curves: CurveTensors,
        layout: MemoryLayout,
        needs_grad: tuple[bool, bool],
    ) -> Gradients:
        """Return the gradients, given the gradient of the result."""


def curve_tensors(
    values: Tensor, hinges: Tensor, tail_slopes: Tensor | None, tails: str, uniform: bool
) -> CurveTensors:
    """Return `CurveTensors` for tensors of any floating-point dtype and memory layout."""
    slopes = None if tail_slopes is None else _contiguous_float32(tail_slopes)
    return _contiguous_float32(values), _contiguous_float32(hinges), slopes, tails, uniform


def _contiguous_float32(tensor: Tensor) -> Tensor:
    if tensor.dtype is torch.float32 and tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return tensor.to(torch.float32).contiguous().resolve_neg()
