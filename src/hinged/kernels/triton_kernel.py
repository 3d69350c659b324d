"""The Triton kernels as dispatch sees them; triton itself is imported at the first call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.kernels.kernel import Curves, Gradients
from hinged.kernels.memory_layout import Geometry

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class TritonKernel:
    """For dense float32, bfloat16 and float16 on a GPU."""

    name: str = "triton"

    def serves(self, x: Tensor) -> bool:
        """Whether it computes on the device and in the dtype of `x`."""
        return x.is_cuda and x.dtype in DTYPES

    def forward(self, x: Tensor, curves: Curves, geometry: Geometry) -> Tensor:
        """Return the curves at `x`, in its shape, dtype and strides."""
        from hinged.kernels import triton_launch

        return triton_launch.forward(x, *curves, geometry)

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        curves: Curves,
        geometry: Geometry,
        wanted: tuple[bool, bool],
    ) -> Gradients:
        """Return the gradients, from that of the result."""
        from hinged.kernels import triton_launch

        return triton_launch.backward(grad_y, x, *curves, geometry, wanted)
