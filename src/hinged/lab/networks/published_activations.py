"""Activations of others, to be compared with curves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def on_axis_1(call: Callable[[Tensor], Tensor], x: Tensor, dim: int) -> Tensor:
    """Return `call(x)`, with the channels, which are on axis `dim`, on axis 1 for the call."""
    if dim % x.dim() == 1:
        return call(x)
    return call(x.movedim(dim, 1)).movedim(1, dim)


class Contender(nn.Module):
    """An activation of the user's own. Whatever it trains counts as an activation's: its own
    learning rate, no weight decay.

    Args:
        inner: computes it, with the channels on axis 1.
        dim: the axis on which the channels are.

    >>> Contender(nn.PReLU(3), dim=-1)(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, inner: nn.Module, dim: int = 1) -> None:
        super().__init__()
        self.inner, self.dim = inner, dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x` `(..., C, ...)`."""
        return on_axis_1(self.inner, x, self.dim)


class AdaptiveReluSum(nn.Module):
    """A sum of ReLUs per channel: `y = max(0, x) + sum_s a_s max(0, b_s - x)`; it starts as ReLU.

    Source: Agostinelli, Hoffman, Sadowski and Baldi, "Learning activation functions to improve deep
    neural networks" (ICLR 2015 workshop).

    Args:
        channels: number of channels `C`.
        places: `b` at the start, `(S,)`; `a` is 0.

    >>> AdaptiveReluSum(2, torch.tensor([-1.0, 1.0]))(torch.tensor([[-2.0, 3.0]]))
    tensor([[0., 3.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, channels: int, places: Tensor) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(channels, len(places)))
        self.places = nn.Parameter(places.repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x` `(N, C, ...)`."""
        shape = (-1, *[1] * (x.dim() - 2))
        y = x.relu()
        for slope, place in zip(self.slopes.unbind(1), self.places.unbind(1), strict=True):
            y = y + slope.view(shape) * (place.view(shape) - x).relu()
        return y
