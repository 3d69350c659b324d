"""Activations from the literature, and a wrapper for users' activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def call_with_channels_on_axis_1(
    function: Callable[[Tensor], Tensor], x: Tensor, dim: int
) -> Tensor:
    """Call a function that needs the channels on axis 1, for inputs with another channel axis.

    Axis `dim` of the inputs is moved to axis 1 for the call. Axis 1 of the outputs is then moved to
    axis `dim`.

    Args:
        function: a function that returns a tensor of the same shape as its argument.
        x: the inputs.
        dim: the channel axis of the inputs.

    Returns:
        The outputs, in the shape of the inputs.
    """
    if dim % x.dim() == 1:
        return function(x)
    return function(x.movedim(dim, 1)).movedim(1, dim)


class WrappedActivation(nn.Module):
    """A module that calls another module, the activation `inner`.

    A training recognises the parameters of this class as parameters of an activation. Their
    learning rate is `curve_lr_factor` times the learning rate of the weights, and they have no
    weight decay.

    Args:
        inner: the activation. It receives inputs with the channels on axis 1.
        dim: the channel axis of the inputs of this module.

    >>> WrappedActivation(nn.PReLU(3), dim=-1)(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, inner: nn.Module, dim: int = 1) -> None:
        super().__init__()
        self.inner, self.dim = inner, dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x`, both `(..., C, ...)` with `C` on axis `dim`."""
        return call_with_channels_on_axis_1(self.inner, x, self.dim)


class AdaptivePiecewiseLinearUnit(nn.Module):
    """The APL unit, a sum of ReLUs per channel: `y = max(0, x) + sum_s a_s max(0, b_s - x)`.

    The sum has `S` terms. Each channel has `S` trained slopes `a_s` and `S` trained positions
    `b_s`. The slopes start at 0, so the unit starts as ReLU.

    Source: Agostinelli, Hoffman, Sadowski and Baldi, "Learning activation functions to improve deep
    neural networks" (ICLR 2015 workshop).

    Args:
        channels: number of channels `C`.
        positions: the initial positions `b_1, ..., b_S` of every channel, `(S,)`.

    >>> unit = AdaptivePiecewiseLinearUnit(2, torch.tensor([-1.0, 1.0]))
    >>> unit(torch.tensor([[-2.0, 3.0]]))
    tensor([[0., 3.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, channels: int, positions: Tensor) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(channels, len(positions)))
        self.positions = nn.Parameter(positions.repeat(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x`, both `(N, C, ...)`."""
        shape = (-1, *[1] * (x.dim() - 2))
        y = x.relu()
        for slope, position in zip(self.slopes.unbind(1), self.positions.unbind(1), strict=True):
            y = y + slope.view(shape) * (position.view(shape) - x).relu()
        return y
