"""Optimiser parameter groups with separate settings for curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from hinged import errors
from hinged.nn.model_argument import check_model
from hinged.nn.piecewise_linear import PiecewiseLinear

CURVE_LR_FACTOR = 2.0
"""Default ratio of the curves' learning rate to the weights' learning rate."""

_CALL = "hinged.param_groups"
# The settings of a group that are learning rates. All but "lr" are added by schedulers.
_LEARNING_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    *,
    curve_lr: float | None = None,
    curve_types: tuple[type[nn.Module], ...] = (PiecewiseLinear,),
) -> list[dict[str, Any]]:
    """Return two optimiser groups for a model: the weights, and the curves without weight decay.

    Weight decay would pull the values of curves towards 0, and not towards the function that the
    curves started as.

    Args:
        model: any module. Parameters that do not require gradients are left out of the groups.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights. The curves have no weight decay.
        curve_lr: learning rate of the curves. None means twice `lr`, which suits Adam and similar
            optimisers. With SGD, use a fraction of `lr` first: steps of SGD are proportional to the
            gradient, and the gradient of a curve is large because it is a sum over all its inputs.
        curve_types: module types whose parameters count as curves. Add `nn.PReLU` to include its
            slopes.

    Returns:
        A list of dictionaries for a `torch.optim` optimiser, each with `name` (`"weights"` or
        `"curves"`), `params`, `lr` and `weight_decay`. A group without parameters is left out.

    Raises:
        ArgumentError: if `model` is not a module, if none of its parameters requires gradients, or
            if `lr`, `weight_decay` or `curve_lr` is negative or not a number.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> groups = hinged.param_groups(model, 1e-3, weight_decay=0.01)
    >>> [(group["name"], group["weight_decay"]) for group in groups]
    [('weights', 0.01), ('curves', 0.0)]
    """
    check_model(model, _CALL)
    _check_rate("lr", lr)
    _check_rate("weight_decay", weight_decay)
    _check_rate("curve_lr", lr if curve_lr is None else curve_lr)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        got = "a model with every parameter frozen"
        hint = "set requires_grad=True for the parameters to train"
        raise errors.ArgumentError(errors.message(f"{_CALL}(model)", got, hint))
    curve_ids = {id(parameter) for parameter in parameters_of(model, curve_types)}
    weights = {
        "name": "weights",
        "params": [parameter for parameter in trainable if id(parameter) not in curve_ids],
        "lr": lr,
        "weight_decay": weight_decay,
    }
    curves = curve_group([p for p in trainable if id(p) in curve_ids], weights)
    if curve_lr is not None:
        curves["lr"] = curve_lr
    return [group for group in (weights, curves) if group["params"]]


def _check_rate(name: str, rate: float | Tensor) -> None:
    """Raise `ArgumentError` unless a setting is a number, or a tensor of one number, of at least
    0."""
    if not isinstance(rate, float | Real | Tensor) or not rate >= 0:
        call, hint = f"{_CALL}({name}=...)", "expected a number of 0 or more"
        raise errors.ArgumentError(errors.message(call, errors.shown(rate), hint))


def curve_group(parameters: Iterable[nn.Parameter], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser group for the parameters of curves.

    The group has the settings of the weights' group, with two exceptions. The learning rate is
    multiplied by `CURVE_LR_FACTOR`, and the weight decay is 0.

    Args:
        parameters: the parameters of the curves.
        weights: the optimiser group of the weights. If all weights are frozen, a group of curves,
            whose learning rate is taken unchanged.

    >>> group = curve_group([], {"params": [], "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01})
    >>> group["lr"], group["momentum"], group["weight_decay"]
    (0.2, 0.9, 0.0)
    """
    inherited = {key: weights[key] for key in weights if key not in ("params", "param_names")}
    factor = 1.0 if weights.get("name") == "curves" else CURVE_LR_FACTOR
    rates = {key: factor * weights[key] for key in _LEARNING_RATES if key in weights}
    own = {"name": "curves", "params": list(parameters), "weight_decay": 0.0}
    return {**inherited, **rates, **own}


def add_curves(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Add the parameters of curves to an optimiser as a new group, made by `curve_group`.

    Its settings are derived from the optimiser's group named "weights", or from the first group if
    no group has this name.
    """
    groups = optimizer.param_groups
    weights = next((group for group in groups if group.get("name") == "weights"), groups[0])
    optimizer.add_param_group(curve_group(parameters, weights))


def parameters_of(model: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Parameter]:
    """Return the parameters of all modules of the given types, in the order of the model."""
    return [
        parameter
        for module in model.modules()
        if isinstance(module, types)
        for parameter in module.parameters()
    ]


def replace_parameters(
    optimizers: Optimizer | Iterable[Optimizer],
    replacements: Mapping[nn.Parameter, nn.Parameter | None],
) -> None:
    """Replace parameters in optimisers, and remove the optimiser state of the old parameters.

    Args:
        optimizers: one optimiser or several.
        replacements: for each old parameter the new parameter, or None to remove the old one. Old
            parameters that no optimiser trains are ignored.

    >>> import torch
    >>> old, new = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    >>> optimiser = torch.optim.SGD([old], lr=0.1)
    >>> replace_parameters(optimiser, {old: new})
    >>> optimiser.param_groups[0]["params"][0] is new
    True
    """
    for optimizer in [optimizers] if isinstance(optimizers, Optimizer) else optimizers:
        for group in optimizer.param_groups:
            new = (replacements.get(parameter, parameter) for parameter in group["params"])
            # The list is changed in place because some optimisers keep a second reference to it.
            group["params"][:] = [parameter for parameter in new if parameter is not None]
        for old in replacements:
            optimizer.state.pop(old, None)
