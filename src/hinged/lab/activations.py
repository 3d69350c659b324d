"""The activations that experiments compare, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from hinged.lab.settings import CurveSettings
from hinged.nn import PiecewiseLinear
from hinged.nn.groups import parameters_of

TRAINED = (PiecewiseLinear, nn.PReLU)
"""The modules whose parameters are an activation's."""

Factory = Callable[[int], nn.Module]
"""Makes the activation of a layer with so many channels on axis 1."""


def _hinged(curves: CurveSettings) -> Factory:
    def make(channels: int) -> nn.Module:
        return PiecewiseLinear(
            1 if curves.shared else channels,
            curves.hinges,
            (curves.low, curves.high),
            curves.init,
            tails=curves.tails,
        )

    return make


def _fixed(module: type[nn.Module]) -> Callable[[CurveSettings], Factory]:
    return lambda curves: lambda channels: module()


ACTIVATIONS: dict[str, Callable[[CurveSettings], Factory]] = {
    "elu": _fixed(nn.ELU),
    "gelu": _fixed(nn.GELU),
    "hardswish": _fixed(nn.Hardswish),
    "hinged": _hinged,
    "leaky_relu": _fixed(nn.LeakyReLU),
    "mish": _fixed(nn.Mish),
    "prelu": lambda curves: nn.PReLU,
    "relu": _fixed(nn.ReLU),
    "selu": _fixed(nn.SELU),
    "silu": _fixed(nn.SiLU),
    "tanh": _fixed(nn.Tanh),
}


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network that belong to its activations."""
    return parameters_of(model, TRAINED)
