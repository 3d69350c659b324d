"""Modules for activations that torch has only as functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Abs(nn.Module):
    """The absolute value, `|x|`.

    >>> Abs()(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `|x|`, with the shape of `x`."""
        return x.abs()


class Zero(nn.Module):
    """Zero for every input.

    >>> Zero()(torch.tensor([-2.0, 3.0]))
    tensor([0., 0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros with the shape of `x`."""
        return torch.zeros_like(x)


class Copy(nn.Module):
    """The identity, returned as a new tensor.

    In-place changes of the output do not change the input; with `nn.Identity` they would.

    >>> x = torch.tensor([-2.0, 3.0])
    >>> y = Copy()(x)
    >>> y is x, torch.equal(y, x)
    (False, True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of `x`."""
        return x.clone()
