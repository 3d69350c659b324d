"""How a tensor and its channels lie in memory. A kernel needs to know no more of its shape."""

from __future__ import annotations

import torch
from torch import Tensor

MemoryLayout = tuple[int, int, int]
"""`(outer, channels, inner)`: a dense tensor as a three-dimensional array, the last index fastest.

`inner` is the stride of the channel axis: 1 for features and channels_last, the size of an image
for contiguous images. With one curve for all elements the layout is `(1, 1, numel)`. It is a plain
tuple because building a named tuple takes a quarter of a microsecond.
"""


def memory_layout(x: Tensor, channels: int, dim: int) -> MemoryLayout:
    """Return the layout of a dense `x`; its axes may lie in memory in any order."""
    if channels == 1:
        return 1, 1, x.numel()
    inner = x.stride(dim)
    return x.numel() // (channels * inner), channels, inner


def as_dense(x: Tensor) -> Tensor:
    """Return `x`, or a dense copy if it has gaps, overlaps itself or is lazily negated."""
    if x.is_contiguous() and not x.is_neg():
        return x
    copy = torch.empty_like(x)  # Has the strides of `x` exactly if `x` is dense.
    return x if copy.stride() == x.stride() and not x.is_neg() else copy.copy_(x)


def with_layout_of(x: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor`, which has the shape of the dense `x`, with the strides of `x`."""
    if tensor.stride() == x.stride() and not tensor.is_neg():
        return tensor
    return torch.empty_like(x, dtype=tensor.dtype).copy_(tensor)
