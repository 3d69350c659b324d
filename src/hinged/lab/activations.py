"""The activations that experiments compare, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from hinged import errors
from hinged.lab.settings import CurveSettings
from hinged.model import convert, sites, swap
from hinged.nn import PiecewiseLinear
from hinged.nn.groups import parameters_of

TRAINED = (PiecewiseLinear, nn.PReLU)
"""The modules whose parameters are an activation's."""


SAME = "same"
"""The start of curves that is the function they replace."""


class Factory(Protocol):
    """Makes the activation of a layer with so many channels on axis `dim`."""

    def __call__(self, channels: int, dim: int = 1) -> nn.Module:
        """Return the activation."""
        ...


class ChannelPReLU(nn.PReLU):
    """`nn.PReLU` with the channels on any axis.

    >>> import torch
    >>> ChannelPReLU(3, dim=-1)(torch.ones(2, 5, 3)).shape
    torch.Size([2, 5, 3])
    """

    def __init__(self, channels: int, dim: int = 1) -> None:
        super().__init__(channels)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x` `(..., C, ...)`."""
        if self.dim % x.dim() == 1:
            return super().forward(x)
        return super().forward(x.movedim(self.dim, 1)).movedim(1, self.dim)


def _hinged(curves: CurveSettings) -> Factory:
    if curves.init == SAME:
        return Converted(curves)

    def make(channels: int, dim: int = 1) -> nn.Module:
        layer = PiecewiseLinear(
            1 if curves.shared else channels,
            curves.hinges,
            (curves.low, curves.high),
            curves.init,
            dim=dim,
            tails=curves.tails,
        )
        return layer.requires_grad_(curves.trained)

    return make


@dataclass(frozen=True)
class Converted:
    """Makes curves that start as ReLU; in a whole network they start as what it applies, each in
    the range of its inputs, as `hinged.convert` puts them."""

    curves: CurveSettings

    def __call__(self, channels: int, dim: int = 1) -> nn.Module:
        """Return the activation."""
        return _hinged(self.curves.model_copy(update={"init": "relu"}))(channels, dim)

    def convert(self, model: nn.Module, batch: Any) -> nn.Module:
        """Put curves into a model in place of all activations, and return it."""
        curves = self.curves
        sharing = "layer" if curves.shared else "channel"
        model = convert(model, batch, curves.hinges, sharing=sharing, tails=curves.tails)
        for parameter in parameters_of(model, (PiecewiseLinear,)):
            parameter.requires_grad_(curves.trained)
        return model


def _fixed(module: type[nn.Module]) -> Callable[[CurveSettings], Factory]:
    return lambda curves: lambda channels, dim=1: module()


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

ORIGINAL = _fixed(nn.ReLU)(CurveSettings())
"""Makes ReLU; in a whole network, whatever it applies stays."""

ACTIVATIONS: dict[str, Callable[[CurveSettings], Factory]] = {
    **{name: _fixed(module) for name, module in _FIXED.items()},
    "hinged": _hinged,
    "original": lambda curves: ORIGINAL,
    "prelu": lambda curves: ChannelPReLU,
}

MODULES = (*_FIXED.values(), *TRAINED)
"""The modules that are activations."""


def replace_activations(
    model: nn.Module, batch: Any, activation: Factory, call: str = "activations"
) -> nn.Module:
    """Put an activation at every place where `hinged.convert` would put curves.

    `original` leaves the model as it is, and curves that start as the `same` function are those of
    `hinged.convert`.

    Args:
        model: any network; it is changed in place.
        batch: what `hinged.convert` takes.
        activation: makes the activation for a number of channels on an axis.
        call: how messages name the caller.

    Returns:
        The model.

    Raises:
        ArgumentError: there is no such place.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> replace_activations(model, torch.randn(8, 2), lambda channels, dim: nn.SiLU())[1]
    SiLU()
    """
    found = sites(model, batch)
    if not found.converted:
        left = "".join(f" ({site.name} is left: {site.skipped})" for site in found.skipped)
        came = f"a {type(model).__name__} without activations to replace{left}"
        cure = "it must apply some, or be made by a function that is given what makes activations"
        raise errors.ArgumentError(errors.sentence(call, came, cure))
    if activation is ORIGINAL:
        return model
    if isinstance(activation, Converted):
        return activation.convert(model, batch)
    convert(model, batch)
    for site in found.converted:
        dim = 1 if site.axis is None else site.axis
        swap(model, model.get_submodule(site.name), activation(site.channels, dim))
    return model


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network that belong to its activations."""
    return parameters_of(model, TRAINED)
