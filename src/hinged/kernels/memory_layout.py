"""`MemoryLayout`: where the channels of a tensor are in memory, as far as kernels need to know."""

from __future__ import annotations

import torch
from torch import Tensor

MemoryLayout = tuple[int, int, int]
"""The sizes `(outer, channels, inner)` of a dense tensor, seen as a three-dimensional array.

In memory, the last index of this array changes fastest. `inner` is the stride of the channel axis.
It is 1 for features and for channels_last images, and the number of pixels for contiguous images.
If one curve applies to all elements, the layout is `(1, 1, numel)`. The type is a plain tuple,
because creating a named tuple takes a quarter of a microsecond.
"""


def memory_layout(x: Tensor, channels: int, dim: int) -> MemoryLayout:
    """Return the layout of a dense tensor `x`, whose axes may have any order in memory.

    Args:
        x: the tensor.
        channels: number of channels `C`; 1 means one curve for all elements.
        dim: the channel axis of `x`.
    """
    if channels == 1:
        return 1, 1, x.numel()
    inner = x.stride(dim)
    return x.numel() // (channels * inner), channels, inner


def is_lazy(tensor: Tensor) -> bool:
    """Return whether the memory of a tensor does not contain its numbers: torch represents some
    negations, and gradients that are 0, without computing them.

    >>> is_lazy(torch.ones(2)), is_lazy(torch._efficientzerotensor((2,)))
    (False, True)
    """
    return tensor.is_neg() or tensor._is_zerotensor()


def as_dense(x: Tensor) -> Tensor:
    """Return `x` if it is dense in memory, and otherwise a dense copy.

    A copy is needed if `x` has gaps, has overlapping elements, or is lazy.
    """
    if x.is_contiguous() and not is_lazy(x):
        return x
    copy = torch.empty_like(x)  # `copy` has the strides of `x` if and only if `x` is dense.
    return x if copy.stride() == x.stride() and not is_lazy(x) else copy.copy_(x)


def with_layout_of(x: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` with the strides of the dense tensor `x`, as a copy if needed.

    Both tensors have the same shape.
    """
    if tensor.stride() == x.stride() and not is_lazy(tensor):
        return tensor
    return torch.empty_like(x, dtype=tensor.dtype).copy_(tensor)
