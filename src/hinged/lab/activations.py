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
        layer = PiecewiseLinear(
            1 if curves.shared else channels,
            curves.hinges,
            (curves.low, curves.high),
            curves.init,
            tails=curves.tails,
        )
        return layer.requires_grad_(curves.trained)

    return make


def _fixed(module: type[nn.Module]) -> Callable[[CurveSettings], Factory]:
    return lambda curves: lambda channels: module()


_FIXED: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

ACTIVATIONS: dict[str, Callable[[CurveSettings], Factory]] = {
    **{name: _fixed(module) for name, module in _FIXED.items()},
    "hinged": _hinged,
    "prelu": lambda curves: nn.PReLU,
}

MODULES = (*_FIXED.values(), *TRAINED)
"""The modules that are activations."""


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network that belong to its activations."""
    return parameters_of(model, TRAINED)
