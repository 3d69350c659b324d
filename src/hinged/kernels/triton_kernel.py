"""`TritonKernel`: the kernels for GPUs; the package triton is imported at the first call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.kernels.kernel import CurveTensors, Gradients
from hinged.kernels.memory_layout import MemoryLayout

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class TritonKernel:
    """Kernel for dense float32, bfloat16 and float16 tensors on a GPU.

    Attributes:
        name: the name for `hinged.kernels.use_kernel`.
        uses_spacing: True, because the kernel is faster for equally spaced hinges.
    """

    name: str = "triton"
    uses_spacing: bool = True

    def supports(self, x: Tensor) -> bool:
        """Return whether the kernel supports the device and the dtype of `x`."""
        return x.is_cuda and x.dtype in DTYPES

    def forward(self, x: Tensor, curves: CurveTensors, layout: MemoryLayout) -> Tensor:
        """Return the outputs of the curves for the inputs `x`, with the shape, dtype and strides of
        `x`."""
        from hinged.kernels import triton_launch

        return triton_launch.forward(x, *curves, layout)

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
        from hinged.kernels import triton_launch

        return triton_launch.backward(grad_y, x, *curves, layout, needs_grad)
