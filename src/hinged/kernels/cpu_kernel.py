"""The compiled kernels for the CPU, called through ctypes.

They contain no code of PyTorch, so one build works with every version of PyTorch.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.curve.curve import TAILS
from hinged.kernels import cpu_library
from hinged.kernels.kernel import CurveTensors, Gradients
from hinged.kernels.memory_layout import MemoryLayout

INSTRUCTION_SETS = ("portable", "avx2", "avx512")
"""The instruction sets; the position of a name is its number in the compiled library."""

DTYPES = {torch.float32: 0, torch.bfloat16: 1}
MOST_HINGES = 500
"""The largest number of hinges of a curve that the CPU kernels compute.

The function `hinged.curve.evaluate` computes curves with more hinges. A kernel keeps two sums for
each line (piece or tail) of a curve in fast memory, which limits the number.
"""

# The format of the struct `Call` in interface.cpp. One struct saves 1.5 us per call, because ctypes
# converts each argument separately.
_CALL = struct.Struct("@8P4q5i")
_TAIL_CODES = {name: code for code, name in enumerate(TAILS)}
_INSTRUCTION_SET_CODES = {name: code for code, name in enumerate(INSTRUCTION_SETS)}


@dataclass(frozen=True)
class CpuKernel:
    """The forward and backward pass of curves on a CPU, compiled for one instruction set.

    The tensors are dense, in float32 or bfloat16. The outputs and the gradient with respect to `x`
    equal the results of `hinged.curve.evaluate` bit for bit, on every instruction set. The
    gradients with respect to the curves are sums over the inputs. Their order differs from the
    order in `hinged.curve.evaluate`, so rounding differs. The order is the same for any number of
    threads.

    Attributes:
        name: name of the instruction set, for `hinged.kernels.use_kernel`.
        handle: the compiled library.
        uses_spacing: False, because the library compares the hinges itself.
    """

    name: str
    handle: ctypes.CDLL
    uses_spacing: bool = False

    def supports(self, x: Tensor) -> bool:
        """Return whether the kernel supports the device and the dtype of `x`."""
        return x.is_cpu and x.dtype in DTYPES

    def forward(self, x: Tensor, curves: CurveTensors, layout: MemoryLayout) -> Tensor:
        """Return the outputs of the curves for the inputs `x`, with the shape, dtype and strides of
        `x`."""
        y = torch.empty_like(x)
        pointers = (x.data_ptr(), 0, y.data_ptr(), 0, 0)
        _raise_if_failed(self.handle.hinged_forward(self._pack(pointers, x, curves, layout)))
        return y

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
        values, slopes = curves[0], curves[2]
        grad_x = torch.empty_like(x) if needs_grad[0] else None
        grad_values = torch.empty_like(values) if needs_grad[1] else None
        grad_slopes = torch.empty_like(slopes) if needs_grad[1] and slopes is not None else None
        results = (_pointer(grad_x), _pointer(grad_values), _pointer(grad_slopes))
        pointers = (x.data_ptr(), grad_y.data_ptr(), *results)
        _raise_if_failed(self.handle.hinged_backward(self._pack(pointers, x, curves, layout)))
        return grad_x, grad_values, grad_slopes

    def _pack(
        self, pointers: tuple[int, ...], x: Tensor, curves: CurveTensors, layout: MemoryLayout
    ) -> bytes:
        values, hinges, slopes, tails, _ = curves
        count = values.shape[1]
        return _CALL.pack(
            *pointers,
            values.data_ptr(),
            hinges.data_ptr(),
            _pointer(slopes),
            *layout,
            count,
            DTYPES[x.dtype],
            hinges.numel() > count,
            _TAIL_CODES[tails],
            _INSTRUCTION_SET_CODES[self.name],
            torch.get_num_threads(),
        )


def available_cpu_kernels() -> dict[str, CpuKernel]:
    """Return the kernels that were compiled and that this processor can run, by name, fastest
    first."""
    handle, _ = cpu_library.load_cpu_library()
    if handle is None:
        return {}
    names = handle.hinged_instruction_sets().decode().split(",")
    return {name: CpuKernel(name, handle) for name in names}


def _pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _raise_if_failed(status: int) -> None:
    if status != 0:
        raise MemoryError(
            "hinged.PiecewiseLinear: there is not enough memory for the backward pass; use a "
            "smaller batch."
        )
