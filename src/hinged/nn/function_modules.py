"""Activations that torch has as functions only, as modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Abs(nn.Module):
    """`|x|`.

    >>> Abs()(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `|x|`, of the shape of `x`."""
        return x.abs()


class Zero(nn.Module):
    """0, whatever comes in.

    >>> Zero()(torch.tensor([-2.0, 3.0]))
    tensor([0., 0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the shape of `x`."""
        return torch.zeros_like(x)


class Copy(nn.Module):
    """The identity as a new tensor: what is written into it in place does not reach the input, as
    it would behind `nn.Identity`.

    >>> x = torch.tensor([-2.0, 3.0])
    >>> y = Copy()(x)
    >>> y is x, torch.equal(y, x)
    (False, True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of `x`."""
        return x.clone()
