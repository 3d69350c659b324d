"""Optimiser parameter groups with separate settings for curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.nn.piecewise_linear import PiecewiseLinear

CURVE_LR_FACTOR = 2.0
"""Default learning rate of curves, divided by the learning rate of weights."""

_CALL = "hinged.param_groups"
_LEARNING_RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # All but the first: of schedulers.


def param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    *,
    curve_lr: float | None = None,
    curve_types: tuple[type[nn.Module], ...] = (PiecewiseLinear,),
) -> list[dict[str, Any]]:
    """Return optimiser groups: one for the weights, and one without weight decay for the curves.

    Weight decay would pull the values towards 0 instead of towards the start function.

    Args:
        model: any module; parameters that do not require gradients are left out.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights.
        curve_lr: learning rate of the curves; by default `CURVE_LR_FACTOR` times `lr`, which suits
            Adam and similar optimisers. For SGD start with a fraction of `lr`, because its steps
            grow with the number of inputs of a curve.
        curve_types: module types to treat as curves; add `nn.PReLU` to include its slopes.

    Returns:
        Dictionaries with `name`, `params`, `lr` and `weight_decay`; empty groups are left out.

    Raises:
        ArgumentError: no parameter of the model is trainable, or a rate is negative.

    >>> model = nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> [(g["name"], g["weight_decay"]) for g in param_groups(model, 1e-3, weight_decay=0.01)]
    [('weights', 0.01), ('curves', 0.0)]
    """
    rates = {"lr": lr, "weight_decay": weight_decay, "curve_lr": curve_lr}
    for name, rate in rates.items():
        if rate is not None and not rate >= 0:
            call = f"{_CALL}({name}=...)"
            raise errors.ArgumentError(errors.message(call, repr(rate), "expected 0 or more"))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trainable:
        got, hint = "a model with every parameter frozen", "set requires_grad on some parameters"
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


def curve_group(parameters: Iterable[nn.Parameter], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser group for the parameters of curves.

    It has the settings of the weights' group, except for the learning rate (`CURVE_LR_FACTOR` times
    as large) and the weight decay (0).

    Args:
        parameters: the parameters of the curves.
        weights: the optimiser group of the weights.

    >>> group = curve_group([], {"params": [], "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01})
    >>> group["lr"], group["momentum"], group["weight_decay"]
    (0.2, 0.9, 0.0)
    """
    inherited = {key: weights[key] for key in weights if key not in ("params", "param_names")}
    rates = {key: CURVE_LR_FACTOR * weights[key] for key in _LEARNING_RATES if key in weights}
    own = {"name": "curves", "params": list(parameters), "weight_decay": 0.0}
    return {**inherited, **rates, **own}


def add_curves(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Add the parameters of curves to an optimiser, with the settings of `param_groups`.

    The weights' group is the group named "weights", or else the first one.
    """
    groups = optimizer.param_groups
    weights = next((group for group in groups if group.get("name") == "weights"), groups[0])
    optimizer.add_param_group(curve_group(parameters, weights))


def parameters_of(model: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Parameter]:
    """Return the parameters of all modules of these types, in the order of the model."""
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
    """Replace parameters in optimisers, and drop the optimiser state of the old ones.

    Args:
        optimizers: one or several; old parameters that they do not train are ignored.
        replacements: the new parameter for each old one, or None to remove the old one.

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
            # In place: some optimisers keep a second reference to the list.
            group["params"][:] = [parameter for parameter in new if parameter is not None]
        for old in replacements:
            optimizer.state.pop(old, None)
