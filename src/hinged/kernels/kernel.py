"""What every kernel computes, and from what."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from hinged.kernels.geometry import Geometry


class Curves(NamedTuple):
    """Curves as kernels take them: contiguous float32 tensors.

    Attributes:
        values: outputs at the hinges, `(C, K)`.
        hinges: ascending positions, `(K,)` or `(C, K)`.
        tail_slopes: end slopes `(C, 2)` where the tails are free, else None.
        tails: `"linear"`, `"constant"` or `"free"`.
        uniform: the hinges are known to be equally spaced.
    """

    values: Tensor
    hinges: Tensor
    tail_slopes: Tensor | None
    tails: str
    uniform: bool


def curves_of(
    values: Tensor, hinges: Tensor, tail_slopes: Tensor | None, tails: str, uniform: bool
) -> Curves:
    """Return `Curves` of tensors of any floating dtype and layout."""
    slopes = None if tail_slopes is None else _plain(tail_slopes)
    return Curves(_plain(values), _plain(hinges), slopes, tails, uniform)


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
