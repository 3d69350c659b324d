"""What every kernel computes, and from what."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hinged.kernels.memory_layout import Geometry

Curves = tuple[Tensor, Tensor, Tensor | None, str, bool]
"""Curves as kernels take them; the tensors are contiguous and in float32.

Outputs at the hinges `(C, K)`; their ascending positions, `(K,)` or `(C, K)`; end slopes `(C, 2)`
where the tails are free, else None; `"linear"`, `"constant"` or `"free"` tails; whether the hinges
are known to be equally spaced.
"""


def curves_of(
    values: Tensor, hinges: Tensor, tail_slopes: Tensor | None, tails: str, uniform: bool
) -> Curves:
    """Return `Curves` of tensors of any floating dtype and layout."""
    slopes = None if tail_slopes is None else _plain(tail_slopes)
    return _plain(values), _plain(hinges), slopes, tails, uniform


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]
"""Of `x`, in its dtype and strides; of `values` and of `tail_slopes`, in float32."""


class Kernel(Protocol):
    """The forward and the backward on one kind of device.

    `x` and `grad_y` are dense and of the same strides. `wanted` says whether the gradient of `x` is
    and whether those of the curves are; what is not wanted, or is not there, is None.
    """

    @property
    def name(self) -> str:
        """What `hinged.kernels.use` and `hinged info` call it."""

    def serves(self, x: Tensor) -> bool:
        """Whether it computes on the device and in the dtype of `x`."""

    def forward(self, x: Tensor, curves: Curves, geometry: Geometry) -> Tensor:
        """Return the curves at `x`, in its shape, dtype and strides."""

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        curves: Curves,
        geometry: Geometry,
        wanted: tuple[bool, bool],
    ) -> Gradients:
        """Return the gradients, from that of the result."""


def _plain(tensor: Tensor) -> Tensor:
    if tensor.dtype is torch.float32 and tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return tensor.to(torch.float32).contiguous().resolve_neg()
