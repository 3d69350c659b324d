"""Applies elementwise functions to nested tensors.

In evaluation without gradients, `nn.TransformerEncoder` makes nested tensors of padded inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def joined(x: Tensor) -> Tensor:
    """Return a nested tensor as an ordinary one with a first axis of length 1.

    The parts follow each other on the second axis, so they must differ in their first axis only.

    >>> joined(torch.nested.as_nested_tensor([torch.ones(2, 3), torch.ones(1, 3)])).shape
    torch.Size([1, 3, 3])
    """
    return x.values()[None] if x.layout is torch.jagged else torch.cat(x.unbind())[None]


def numbers_in(x: Tensor) -> Tensor:
    """Return all numbers of a tensor, which may be nested, as a tensor with one axis.

    >>> numbers_in(torch.nested.as_nested_tensor([torch.ones(2, 3), torch.ones(1, 2)])).shape
    torch.Size([8])
    """
    if not x.is_nested:
        return x.flatten()
    return torch.cat([part.flatten() for part in x.unbind()])


def map_nested(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply an elementwise function to a nested tensor, and return one of the same structure.

    Args:
        function: takes an ordinary tensor with the axes of `x`, and returns one of this shape.
        x: the nested tensor, of a strided or a jagged layout.

    >>> x = torch.nested.as_nested_tensor([torch.ones(2, 3), torch.ones(1, 3)])
    >>> [part.tolist() for part in map_nested(torch.neg, x)]
    [[[-1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]], [[-1.0, -1.0, -1.0]]]
    """
    if x.layout is torch.jagged:
        offsets = x.offsets()  # type: ignore[attr-defined]
        return torch.nested.nested_tensor_from_jagged(function(joined(x))[0], offsets)
    parts = x.unbind()
    if len({part.shape[1:] for part in parts}) == 1:  # One call takes less time than several.
        outputs = function(joined(x))[0].split([len(part) for part in parts])
    else:
        outputs = tuple(function(part[None])[0] for part in parts)
    return torch.nested.as_nested_tensor(list(outputs))
