"""Activations from the literature, and the wrapper for activations that users define."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def call_with_channels_on_axis_1(
    function: Callable[[Tensor], Tensor], x: Tensor, dim: int
) -> Tensor:
    """Move axis `dim` to axis 1, call `function`, and move the axis back."""
    if dim % x.dim() == 1:
        return function(x)
    return function(x.movedim(dim, 1)).movedim(1, dim)


class WrappedActivation(nn.Module):
    """Wrap a module and mark its parameters as those of an activation.

    Such parameters have their own learning rate and no weight decay.

    Args:
        inner: the activation. It expects the channels on axis 1.
        dim: the channel axis of the inputs.

    >>> WrappedActivation(nn.PReLU(3), dim=-1)(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, inner: nn.Module, dim: int = 1) -> None:
        super().__init__()
        self.inner, self.dim = inner, dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x` `(..., C, ...)`."""
        return call_with_channels_on_axis_1(self.inner, x, self.dim)


class AdaptivePiecewiseLinearUnit(nn.Module):
    """The APL unit, a sum of ReLUs per channel: `y = max(0, x) + sum_s a_s max(0, b_s - x)`.

    It starts as ReLU.

    Source: Agostinelli, Hoffman, Sadowski and Baldi, "Learning activation functions to improve deep
    neural networks" (ICLR 2015 workshop).

    Args:
        channels: number of channels `C`.
        positions: initial values of `b`, `(S,)`. The initial values of `a` are 0.

    >>> unit = AdaptivePiecewiseLinearUnit(2, torch.tensor([-1.0, 1.0]))
    >>> unit(torch.tensor([[-2.0, 3.0]]))
    tensor([[0., 3.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, channels: int, positions: Tensor) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(channels, len(positions)))
        self.positions = nn.Parameter(positions.repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x` `(N, C, ...)`."""
        shape = (-1, *[1] * (x.dim() - 2))
        y = x.relu()
        for slope, position in zip(self.slopes.unbind(1), self.positions.unbind(1), strict=True):
            y = y + slope.view(shape) * (position.view(shape) - x).relu()
        return y
