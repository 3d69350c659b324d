"""Activations from the literature, and wrappers of activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST_WIDTH = 1e-6
"""Added to `1 - b` in `CurvatureTuningUnit`, as in the paper, so that no division is by 0."""


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
    learning rate is `activation_lr_factor` times the learning rate of the weights, and they have no
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


class InOtherUnit(nn.Module):
    """An activation that computes in another unit: `x` gives `inner(unit * x) / unit`.

    Args:
        inner: the activation.
        unit: the factor of its inputs.

    >>> import torch
    >>> InOtherUnit(nn.ReLU(), 4.0)(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def __init__(self, inner: nn.Module, unit: float) -> None:
        super().__init__()
        self.inner, self.unit = inner, unit

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x`, in the shape of `x`."""
        outputs: Tensor = self.inner(self.unit * x) / self.unit
        return outputs


class ChannelPReLU(nn.PReLU):
    """`nn.PReLU` for inputs with the channels on any axis.

    Args:
        channels: number of channels `C`. Each channel has one trained slope.
        dim: the channel axis of the inputs.

    >>> import torch
    >>> ChannelPReLU(3, dim=-1)(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, channels: int, dim: int = 1) -> None:
        super().__init__(channels)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x`, both `(..., C, ...)` with `C` on axis `dim`."""
        return call_with_channels_on_axis_1(super().forward, x, self.dim)


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


class CurvatureTuningUnit(nn.Module):
    """The trainable unit of Curvature Tuning, a smooth ReLU with two trained numbers per channel.

    `y = c x sigmoid(b x / (1 - b)) + (1 - c) (1 - b) softplus(x / (1 - b))`, with `b` and `c`
    between 0 and 1. The unit approaches ReLU as `b` approaches 1. The number `c` mixes a form of
    SiLU (`c = 1`), which is linear for `b = 0`, and softplus (`c = 0`). They have opposite errors.
    Each channel has its own `b` and `c`. The trained parameters are their logits, as in the code of
    the paper.

    The unit starts with `b = 0.8` and `c = 0.5`, as in the paper. It then differs from ReLU by at
    most 0.07. The paper trains these numbers by Adam at a rate of 0.1, and the head at 0.001. In an
    experiment, `training.lr = 0.001` and `training.activation_lr_factor = 100` are these rates.

    Source: Hu, Gamba and Balestriero, "Curvature tuning: provable training-free model steering from
    a single parameter" (NeurIPS 2025, arXiv 2502.07783).

    Args:
        channels: number of channels `C`.

    >>> round(CurvatureTuningUnit(1)(torch.zeros(1, 1)).item(), 4)
    0.0693
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.smoothness_logits = nn.Parameter(torch.full((channels,), math.log(0.8 / 0.2)))
        self.mixture_logits = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x`, both `(N, C, ...)`."""
        shape = (-1, *[1] * (x.dim() - 2))
        b, c = (
            logits.sigmoid().view(shape) for logits in (self.smoothness_logits, self.mixture_logits)
        )
        width = 1 - b + _SMALLEST_WIDTH
        z = x / width
        return c * x * (b * z).sigmoid() + (1 - c) * width * functional.softplus(z)
