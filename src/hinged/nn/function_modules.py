"""Modules for activations that torch offers only as functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Abs(nn.Module):
    """Module that returns the absolute value, `|x|`.

    >>> Abs()(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `|x|`, with the shape of `x`."""
        return x.abs()


class Zero(nn.Module):
    """Module that returns 0 for every input.

    >>> Zero()(torch.tensor([-2.0, 3.0]))
    tensor([0., 0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros with the shape of `x`."""
        return torch.zeros_like(x)


class Copy(nn.Module):
    """Module that returns a copy of its input.

    An in-place change of the output does not change the input. With `nn.Identity` it would.

    >>> x = torch.tensor([-2.0, 3.0])
    >>> y = Copy()(x)
    >>> y is x, torch.equal(y, x)
    (False, True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of `x`."""
        return x.clone()
