"""The activations that experiments compare, by name.

A name is one of `ACTIVATIONS`; or `frozen:START`, curves that stay the function `START`, as in
`frozen:silu`; or something of the user's own, `file.py:make` or `package.module:Class`, which is
called with what its parameters ask for by name:

* `channels`: the number of channels `C`; a first parameter of any other name gets it too where it
  has no default;
* `dim`: the axis that they are on; where it does not ask, they are moved to axis 1;
* `curve`: the `C` curves that `hinged` would start as, a `hinged.curve.Curve`.

It returns an `nn.Module` that maps a tensor to one of the same shape. What that trains counts as an
activation's: it is trained at `curve_lr_factor` times the learning rate, without weight decay.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve import NAMED, Curve
from hinged.lab.experiment import user_code
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.networks.published_activations import AdaptiveReluSum, Contender, on_axis_1
from hinged.model import convert, replace_module, sites
from hinged.nn import PiecewiseLinear
from hinged.nn.parameter_groups import parameters_of

TRAINED = (PiecewiseLinear, nn.PReLU, Contender)
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
        return on_axis_1(super().forward, x, self.dim)


def _hinged(curves: CurveSettings) -> Factory:
    if curves.init == SAME:
        return Converted(curves)

    def make(channels: int, dim: int = 1) -> nn.Module:
        layer = PiecewiseLinear(
            1 if curves.sharing == "layer" else channels,
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
        model = convert(model, batch, curves.hinges, sharing=curves.sharing, tails=curves.tails)
        for parameter in parameters_of(model, (PiecewiseLinear,)):
            parameter.requires_grad_(curves.trained)
        return model


def _fixed(module: type[nn.Module]) -> Callable[[CurveSettings], Factory]:
    return lambda curves: lambda channels, dim=1: module()


def _apl(curves: CurveSettings) -> Factory:
    """As many ReLUs as curves have hinges beside that at 0, at the start spread over the range."""

    def make(channels: int, dim: int = 1) -> nn.Module:
        parents_of = torch.linspace(curves.low, curves.high, curves.hinges - 1)
        return Contender(AdaptiveReluSum(channels, parents_of), dim)

    return make


_FIXED: dict[str, type[nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardshrink": nn.Hardshrink,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "logsigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softshrink": nn.Softshrink,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
}

ORIGINAL = _fixed(nn.ReLU)(CurveSettings())
"""Makes ReLU; in a whole network, whatever it applies stays."""

ACTIVATIONS: dict[str, Callable[[CurveSettings], Factory]] = {
    **{name: _fixed(module) for name, module in _FIXED.items()},
    "apl": _apl,
    "hinged": _hinged,
    "original": lambda curves: ORIGINAL,
    "prelu": lambda curves: ChannelPReLU,
}

_FROZEN = "frozen:"

MODULES = (*_FIXED.values(), *TRAINED)
"""The modules that are activations."""


def check_activation(option: str, name: str) -> None:
    """Raise where a name cannot be an activation's; the user's own are not loaded yet.

    Raises:
        UnknownNameError: there is no activation or start of this name.
    """
    if name.startswith(_FROZEN):
        start = name.removeprefix(_FROZEN)
        if start not in NAMED:
            raise errors.unknown_name(f"{option} {_FROZEN}...", start, NAMED)
    elif not is_own(name) and name not in ACTIVATIONS:
        raise errors.unknown_name(option, name, ACTIVATIONS)


def is_own(name: str) -> bool:
    """Whether a name is that of something of the user's own.

    >>> is_own("my.py:make"), is_own("torch.nn:Tanh"), is_own("relu"), is_own("frozen:relu")
    (True, True, False, False)
    """
    return ":" in name and not name.startswith(_FROZEN)


def takes_curves(name: str) -> bool:
    """Whether the settings of curves may make a difference to an activation.

    >>> [takes_curves(name) for name in ("hinged", "frozen:silu", "apl", "my.py:make", "relu")]
    [True, True, True, True, False]
    """
    return name in ("apl", "hinged") or ":" in name


def is_trained(name: str) -> bool:
    """Whether an activation may have parameters that are trained.

    >>> [is_trained(name) for name in ("hinged", "prelu", "my.py:make", "frozen:silu", "relu")]
    [True, True, True, False, False]
    """
    return name in ("apl", "hinged", "prelu") or is_own(name)


def factory(name: str, curves: CurveSettings) -> Factory:
    """Return what makes the activation of a name.

    Args:
        name: as the module describes it.
        curves: what curves are like.

    Raises:
        ArgumentError: the user's own cannot be loaded, or makes no module when it is called.

    >>> factory("frozen:silu", CurveSettings())(4).values.requires_grad
    False
    >>> factory("torch.nn:Tanh", CurveSettings())(4).inner
    Tanh()
    """
    if name.startswith(_FROZEN):
        update = {"init": name.removeprefix(_FROZEN), "trained": False}
        return _hinged(curves.model_copy(update=update))
    return _own(name, curves) if is_own(name) else ACTIVATIONS[name](curves)


def _own(name: str, curves: CurveSettings) -> Factory:
    call = user_code.load("--activations", name)

    def make(channels: int, dim: int = 1) -> nn.Module:
        asked = _asked(call, channels, dim, curves)
        inner = call(**asked)
        if not isinstance(inner, nn.Module):
            got = f"{name}, which makes an object of class {type(inner).__name__}"
            hint = "it must return an nn.Module"
            raise errors.ArgumentError(errors.message("--activations", got, hint))
        return Contender(inner, 1 if "dim" in asked else dim)

    return make


def _asked(
    call: Callable[..., Any], channels: int, dim: int, curves: CurveSettings
) -> dict[str, Any]:
    """Return the arguments that a call asks for by its parameters."""
    known: dict[str, Callable[[], Any]] = {
        "channels": lambda: channels,
        "dim": lambda: dim,
        "curve": lambda: _start(curves, channels),
    }
    parameters = list(inspect.signature(call).parameters.values())
    asked = {each.name: known[each.name]() for each in parameters if each.name in known}
    first = parameters[0] if parameters else None
    if first and first.name not in known and _is_needed(first):
        asked[first.name] = channels
    return asked


def _is_needed(parameter: inspect.Parameter) -> bool:
    named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return named and parameter.default is parameter.empty


def _start(curves: CurveSettings, channels: int) -> Curve:
    layer = PiecewiseLinear(
        channels, curves.hinges, (curves.low, curves.high), curves.init, tails=curves.tails
    )
    return layer.curve()


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
        got = f"a {type(model).__name__} without activations to replace{left}"
        hint = "it must apply some, or be made by a function that is given what makes activations"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if activation is ORIGINAL:
        return model
    if isinstance(activation, Converted):
        return activation.convert(model, batch)
    convert(model, batch)
    for site in found.converted:
        dim = 1 if site.axis is None else site.axis
        replace_module(model, model.get_submodule(site.name), activation(site.channels, dim))
    return model


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network that belong to its activations."""
    return parameters_of(model, TRAINED)
