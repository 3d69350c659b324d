"""How a tensor and its channels lie in memory: all that a kernel needs to know of its shape."""

from __future__ import annotations

import torch
from torch import Tensor

Geometry = tuple[int, int, int]
"""A dense tensor as `outer` x `channels` x `inner` elements in memory, the last fastest.

`inner` is the stride of the channel axis: 1 for features and channels_last, the size of an image
for contiguous images. One curve for all elements is `(1, 1, numel)`. (To build a named tuple takes
a quarter of a microsecond.)
"""


def geometry_of(x: Tensor, channels: int, dim: int) -> Geometry:
    """Return the geometry of `x`, which is `dense`; it serves any order of its axes in memory."""
    if channels == 1:
        return 1, 1, x.numel()
    inner = x.stride(dim)
    return x.numel() // (channels * inner), channels, inner


def dense(x: Tensor) -> Tensor:
    """Return `x`, or a copy of it where it has gaps, overlaps itself or is lazily negated."""
    if x.is_contiguous() and not x.is_neg():
        return x
    copy = torch.empty_like(x)  # Keeps the strides of what is dense.
    return x if copy.stride() == x.stride() and not x.is_neg() else copy.copy_(x)


def like(tensor: Tensor, x: Tensor) -> Tensor:
    """Return `tensor`, of the shape of the dense `x`, lying in memory as `x` does."""
    if tensor.stride() == x.stride() and not tensor.is_neg():
        return tensor
    return torch.empty_like(x, dtype=tensor.dtype).copy_(tensor)
