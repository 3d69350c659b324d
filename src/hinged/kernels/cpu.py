"""The compiled CPU kernels, called by ctypes: with no PyTorch in them, one build serves all."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.curve.curve import TAILS
from hinged.kernels import library
from hinged.kernels.kernel import Curves, Gradients
from hinged.kernels.memory_layout import Geometry

NAMES = ("portable", "avx2", "avx512")
"""The instruction sets, in the order in which the library numbers them."""

DTYPES = {torch.float32: 0, torch.bfloat16: 1}
MOST_HINGES = 500
"""Curves of more hinges are for the reference: the kernels keep their sums by line at hand."""

# `Call` of interface.cpp. To convert sixteen arguments one by one would take ctypes 1.5 us.
_CALL = struct.Struct("@8P4q5i")
_TAILS = {name: code for code, name in enumerate(TAILS)}
_SETS = {name: code for code, name in enumerate(NAMES)}


@dataclass(frozen=True)
class CpuKernel:
    """The kernels of one instruction set, for dense float32 or bfloat16 on the CPU.

    The result and the gradient of `x` equal the reference's, bit for bit, on every instruction set.
    The sums in the gradients of the curves are taken in another order than there, but in the same
    order for any number of threads.
    """

    name: str
    handle: ctypes.CDLL

    def serves(self, x: Tensor) -> bool:
        """Whether it computes on the device and in the dtype of `x`."""
        return x.is_cpu and x.dtype in DTYPES

    def forward(self, x: Tensor, curves: Curves, geometry: Geometry) -> Tensor:
        """Return the curves at `x`, in its shape, dtype and strides."""
        y = torch.empty_like(x)
        pointers = (x.data_ptr(), 0, y.data_ptr(), 0, 0)
        _check(self.handle.hinged_forward(self._call(pointers, x, curves, geometry)))
        return y

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        curves: Curves,
        geometry: Geometry,
        wanted: tuple[bool, bool],
    ) -> Gradients:
        """Return the gradients, from that of the result."""
        values, slopes = curves[0], curves[2]
        grad_x = torch.empty_like(x) if wanted[0] else None
        grad_values = torch.empty_like(values) if wanted[1] else None
        grad_slopes = torch.empty_like(slopes) if wanted[1] and slopes is not None else None
        results = (_pointer(grad_x), _pointer(grad_values), _pointer(grad_slopes))
        pointers = (x.data_ptr(), grad_y.data_ptr(), *results)
        _check(self.handle.hinged_backward(self._call(pointers, x, curves, geometry)))
        return grad_x, grad_values, grad_slopes

    def _call(
        self, pointers: tuple[int, ...], x: Tensor, curves: Curves, geometry: Geometry
    ) -> bytes:
        values, hinges, slopes, tails, _ = curves
        count = values.shape[1]
        return _CALL.pack(
            *pointers,
            values.data_ptr(),
            hinges.data_ptr(),
            _pointer(slopes),
            *geometry,
            count,
            DTYPES[x.dtype],
            hinges.numel() > count,
            _TAILS[tails],
            _SETS[self.name],
            torch.get_num_threads(),
        )


def available() -> dict[str, CpuKernel]:
    """Return the kernels that were built and that this processor can run, the best first."""
    handle, _ = library.load()
    if handle is None:
        return {}
    names = handle.hinged_instruction_sets().decode().split(",")
    return {name: CpuKernel(name, handle) for name in names}


def _pointer(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _check(outcome: int) -> None:
    if outcome != 0:
        raise MemoryError("hinged: no memory is left for the sums of the backward pass.")
