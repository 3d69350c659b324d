"""The activations that experiments compare, by name.

An activation has one of these names:

* a key of `ACTIVATIONS`, for example `relu` or `hinged`;
* `frozen:FUNCTION`, for example `frozen:silu`: curves that start as this function and are not
  trained;
* `file.py:make` or `package.module:Class`: a user's function or class.

A user's function or class must return an `nn.Module` whose outputs have the shape of its inputs.
It may have these parameters:

* `channels`: the number of channels `C`. If the first parameter has another name and no default, it
  receives `C` instead;
* `dim`: the channel axis of the inputs. Without this parameter, the channels of all inputs are
  moved to axis 1;
* `curve`: a `hinged.curve.Curve` with the `C` curves that the activation `hinged` would start from.

The learning rate of the parameters of the returned module is `activation_lr_factor` times that of
the weights. They have no weight decay.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from hinged import errors, user_code
from hinged.curve import START_FUNCTIONS, Curve
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.networks.published_activations import (
    AdaptivePiecewiseLinearUnit,
    ChannelPReLU,
    CurvatureTuningUnit,
    InOtherUnit,
    WrappedActivation,
)
from hinged.model import convert, replace_module, sites
from hinged.model.conversion.sites import recorded_sites
from hinged.nn import PiecewiseLinear
from hinged.nn.parameter_groups import parameters_of

TRAINABLE_ACTIVATIONS = (PiecewiseLinear, nn.PReLU, WrappedActivation)
"""The module classes of activations that may have trained parameters."""

INIT_SAME = "same"
"""The value of `CurveSettings.init` for curves that start as the activations they replace."""


class ActivationFactory(Protocol):
    """A function that makes the activation of one layer of a network."""

    def __call__(self, channels: int, dim: int = 1) -> nn.Module:
        """Return the activation of one layer.

        Args:
            channels: number of channels of the layer.
            dim: the channel axis of the layer's outputs.
        """
        ...


def _curve_factory(curves: CurveSettings) -> ActivationFactory:
    if curves.init == INIT_SAME:
        return ConvertingFactory(curves)

    def make(channels: int, dim: int = 1) -> nn.Module:
        layer = PiecewiseLinear(
            1 if curves.sharing == "layer" else channels,
            curves.hinges,
            (curves.unit * curves.low, curves.unit * curves.high),
            curves.init,
            dim=dim,
            tails=curves.tails,
        ).requires_grad_(curves.trained)
        return layer if curves.unit == 1 else InOtherUnit(layer, curves.unit)

    return make


@dataclass(frozen=True)
class ConvertingFactory:
    """A factory for curves that start as the activations they replace.

    The method `convert` replaces the activations of a whole network, with `hinged.convert`. The
    hinges of each curve cover the range of the inputs of the replaced activation.

    A call of the factory makes the curves of one layer without replacing an activation. These
    curves start as ReLU.

    Attributes:
        curves: the settings of the curves, with `init="same"`.
    """

    curves: CurveSettings

    def __call__(self, channels: int, dim: int = 1) -> nn.Module:
        """Return curves for one layer. They start as ReLU."""
        return _curve_factory(self.curves.model_copy(update={"init": "relu"}))(channels, dim)

    def convert(self, model: nn.Module, batch: Any) -> nn.Module:
        """Replace all activations of a model by curves.

        Args:
            model: any network. It is changed in place.
            batch: one batch of inputs, in a form that `hinged.convert` accepts.

        Returns:
            The model.
        """
        curves = self.curves
        model = convert(model, batch, curves.hinges, sharing=curves.sharing, tails=curves.tails)
        for parameter in parameters_of(model, (PiecewiseLinear,)):
            parameter.requires_grad_(curves.trained)
        return model


def _fixed(module: type[nn.Module]) -> Callable[[CurveSettings], ActivationFactory]:
    return lambda curves: lambda channels, dim=1: module()


def _apl_factory(curves: CurveSettings) -> ActivationFactory:
    """Return a factory of APL units (`AdaptivePiecewiseLinearUnit`).

    Each unit has `K - 1` trained positions, where `K` is the number of hinges in `curves`. The
    initial positions are evenly spaced from `curves.low` to `curves.high`.
    """

    def make(channels: int, dim: int = 1) -> nn.Module:
        positions = torch.linspace(curves.low, curves.high, curves.hinges - 1)
        return WrappedActivation(AdaptivePiecewiseLinearUnit(channels, positions), dim)

    return make


def _make_curvature_tuning_unit(channels: int, dim: int = 1) -> nn.Module:
    return WrappedActivation(CurvatureTuningUnit(channels), dim)


_WITHOUT_PARAMETERS: dict[str, type[nn.Module]] = {
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


KEEP_ORIGINAL = _fixed(nn.ReLU)(CurveSettings())
"""The factory of the activation `original`. If `replace_activations` gets this factory, it leaves
the network unchanged. A network that is built with this factory gets ReLUs."""

ACTIVATIONS: dict[str, Callable[[CurveSettings], ActivationFactory]] = {
    **{name: _fixed(module) for name, module in _WITHOUT_PARAMETERS.items()},
    "apl": _apl_factory,
    "curvature_tuning": lambda curves: _make_curvature_tuning_unit,
    "hinged": _curve_factory,
    "original": lambda curves: KEEP_ORIGINAL,
    "prelu": lambda curves: ChannelPReLU,
}

_FROZEN_PREFIX = "frozen:"

ACTIVATION_MODULES = (*_WITHOUT_PARAMETERS.values(), *TRAINABLE_ACTIVATIONS)
"""The module classes of all activations that experiments compare."""


def check_activation_name(setting: str, name: str) -> None:
    """Raise an error if no activation has this name.

    The names of users' activations are not checked, since this function loads no files.

    Args:
        setting: name of the setting, for error messages.
        name: the name of an activation.

    Raises:
        UnknownNameError: if the name is not a key of `ACTIVATIONS`, or if the function in
            `frozen:FUNCTION` is unknown.
    """
    if name.startswith(_FROZEN_PREFIX):
        function = name.removeprefix(_FROZEN_PREFIX)
        if function not in START_FUNCTIONS:
            raise errors.unknown_name(f"{setting} {_FROZEN_PREFIX}...", function, START_FUNCTIONS)
    elif not is_user_activation(name) and name not in ACTIVATIONS:
        raise errors.unknown_name(setting, name, ACTIVATIONS, ", or frozen:NAME or my.py:make")


def is_user_activation(name: str) -> bool:
    """Return whether a name refers to a user's function or class.

    Such a name has the form `file.py:make` or `package.module:Class`.

    >>> names = ("my.py:make", "torch.nn:Tanh", "relu", "frozen:relu")
    >>> [is_user_activation(name) for name in names]
    [True, True, False, False]
    """
    return ":" in name and not name.startswith(_FROZEN_PREFIX)


def depends_on_curve_settings(name: str) -> bool:
    """Return whether the activation of this name depends on `CurveSettings`.

    A user's function or class depends on them only if it has a parameter `curve`. To find this out,
    the function is loaded.

    Raises:
        ArgumentError: if a user's activation cannot be loaded.

    >>> names = ("hinged", "frozen:silu", "apl", "relu", "torch.nn:Tanh")
    >>> [depends_on_curve_settings(name) for name in names]
    [True, True, True, False, False]
    """
    if not is_user_activation(name):
        return name in ("apl", "hinged") or name.startswith(_FROZEN_PREFIX)
    path = Path(name.rpartition(":")[0]).resolve()
    return _takes_curve(name, path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache
def _takes_curve(name: str, _path: Path, _changed: int) -> bool:
    """Whether a user's function has a parameter `curve`. A file runs again only if it changed."""
    return "curve" in inspect.signature(user_code.load_function("activations", name)).parameters


def may_have_trained_parameters(name: str) -> bool:
    """Return whether the activation of this name may have trained parameters.

    >>> names = ("hinged", "prelu", "my.py:make", "frozen:silu", "relu")
    >>> [may_have_trained_parameters(name) for name in names]
    [True, True, True, False, False]
    """
    trainable = ("apl", "curvature_tuning", "hinged", "prelu")
    return name in trainable or is_user_activation(name)


def activation_factory(name: str, curves: CurveSettings) -> ActivationFactory:
    """Return the factory of a named activation.

    Args:
        name: a key of `ACTIVATIONS`, `frozen:FUNCTION`, or the name of a user's function or class.
        curves: the settings of the curves. Activations such as ReLU and PReLU ignore them.

    Returns:
        A function that makes the activation of one layer.

    Raises:
        ArgumentError: if a user's activation cannot be loaded. The returned factory raises this
            error if the user's function returns no `nn.Module`.

    >>> activation_factory("frozen:silu", CurveSettings())(4).values.requires_grad
    False
    >>> activation_factory("torch.nn:Tanh", CurveSettings())(4).inner
    Tanh()
    """
    if name.startswith(_FROZEN_PREFIX):
        update = {"init": name.removeprefix(_FROZEN_PREFIX), "trained": False}
        return _curve_factory(curves.model_copy(update=update))
    if is_user_activation(name):
        return _user_activation_factory(name, curves)
    return ACTIVATIONS[name](curves)


def _user_activation_factory(name: str, curves: CurveSettings) -> ActivationFactory:
    function = user_code.load_function("activations", name)

    def make(channels: int, dim: int = 1) -> nn.Module:
        arguments = _requested_arguments(function, channels, dim, curves)
        hint = "it gets the number of channels, and dim or curve if it has arguments of these names"
        user_code.check_call(f"activations {name}", function, hint, **arguments)
        inner = function(**arguments)
        if not isinstance(inner, nn.Module):
            got = f"{name}, which returns an object of class {type(inner).__name__}"
            hint = "this function or class must make an nn.Module"
            raise errors.ArgumentError(errors.message("activations", got, hint))
        return WrappedActivation(inner, 1 if "dim" in arguments else dim)

    return make


def _requested_arguments(
    function: Callable[..., Any], channels: int, dim: int, curves: CurveSettings
) -> dict[str, Any]:
    """Return the keyword arguments for a call of a user's function.

    The possible arguments are `channels`, `dim` and `curve`. The function receives each argument
    that it has a parameter for. If its first parameter has another name and no default, that
    parameter receives the number of channels.
    """
    available: dict[str, Callable[[], Any]] = {
        "channels": lambda: channels,
        "dim": lambda: dim,
        "curve": lambda: _initial_curve(curves, channels),
    }
    parameters = list(inspect.signature(function).parameters.values())
    arguments = {each.name: available[each.name]() for each in parameters if each.name in available}
    first = parameters[0] if parameters else None
    if first and first.name not in available and is_required(first):
        arguments[first.name] = channels
    return arguments


def is_required(parameter: inspect.Parameter) -> bool:
    """Whether a function cannot be called without an argument for this parameter."""
    by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return by_name and parameter.default is parameter.empty


def _initial_curve(curves: CurveSettings, channels: int) -> Curve:
    layer = PiecewiseLinear(
        channels, curves.hinges, (curves.low, curves.high), curves.init, tails=curves.tails
    )
    return layer.curve()


def replace_activations(
    model: nn.Module, batch: Any, activation: ActivationFactory, call: str = "activations"
) -> nn.Module:
    """Replace the activations of a model that `hinged.convert` would replace.

    If `activation` is `KEEP_ORIGINAL`, the model stays unchanged. If `activation` makes curves with
    `init="same"`, `hinged.convert` itself replaces the activations.

    Args:
        model: any network. It is changed in place.
        batch: one batch of inputs, in a form that `hinged.convert` accepts.
        activation: a function that makes the new activation. Its arguments are the number of
            channels and the channel axis.
        call: the setting or function that error messages name.

    Returns:
        The model.

    Raises:
        ArgumentError: if the model has no activation to replace.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> replace_activations(model, torch.randn(8, 2), lambda channels, dim: nn.SiLU())[1]
    SiLU()
    """
    if activation is KEEP_ORIGINAL:
        return model
    convert_all = activation.convert if isinstance(activation, ConvertingFactory) else convert
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NoEffectWarning)  # It is an error here.
        model = convert_all(model, batch)
    found = recorded_sites(model)
    if found is None:
        raise _nothing_to_replace(model, batch, call)
    if not isinstance(activation, ConvertingFactory):
        for site in found.converted:
            dim = 1 if site.axis is None else site.axis
            replace_module(model, model.get_submodule(site.name), activation(site.channels, dim))
    return model


def _nothing_to_replace(model: nn.Module, batch: Any, call: str) -> errors.ArgumentError:
    skipped = "".join(
        f" (activation {site.name} is skipped: {site.skipped})"
        for site in sites(model, batch).skipped
    )
    got = f"a {type(model).__name__} without activations to replace{skipped}"
    hint = "use an activation such as nn.ReLU in the network, or make the network in a "
    hint += "function with one parameter, which receives a factory of activations"
    return errors.ArgumentError(errors.message(call, got, hint))


def activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of all activations of a network."""
    return parameters_of(model, TRAINABLE_ACTIVATIONS)
