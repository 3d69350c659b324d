"""Parameter groups: curves apart from weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.nn.piecewise_linear import PiecewiseLinear

CURVE_LR_FACTOR = 2.0
"""Learning rate of the values over that of the weights: the default, in the studies too."""


def param_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.0,
    *,
    curve_lr: float | None = None,
    curve_types: tuple[type[nn.Module], ...] = (PiecewiseLinear,),
) -> list[dict[str, Any]]:
    """Return groups for a torch optimiser: the weights, and the curves without weight decay.

    Weight decay would pull values towards 0 and not towards the function a curve started as.

    Args:
        model: any module; parameters that do not require gradients are left out.
        lr: learning rate of the weights.
        weight_decay: weight decay of the weights.
        curve_lr: learning rate of the curves; `CURVE_LR_FACTOR` times `lr` where it is None. That
            suits Adam and its kin; with SGD, whose steps grow with the number of inputs to a
            curve, start from a fraction of `lr`.
        curve_types: the modules that are curves; add `nn.PReLU` to treat its slopes alike.

    Returns:
        Dictionaries with `name`, `params`, `lr` and `weight_decay`; empty groups are left out.

    Raises:
        ArgumentError: nothing in the model is trainable, or a rate is negative.

    >>> model = nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> [(g["name"], g["weight_decay"]) for g in param_groups(model, 1e-3, weight_decay=0.01)]
    [('weights', 0.01), ('curves', 0.0)]
    """
    rates = {
        "lr": lr,
        "weight_decay": weight_decay,
        "curve_lr": CURVE_LR_FACTOR * lr if curve_lr is None else curve_lr,
    }
    for name, rate in rates.items():
        if not rate >= 0:
            raise errors.ArgumentError(
                errors.message(f"hinged.param_groups({name}=...)", repr(rate), "expected 0 or more")
            )
    curves = {id(parameter) for parameter in parameters_of(model, curve_types)}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        hint = "set requires_grad on what should be trained"
        raise errors.ArgumentError(
            errors.message(
                "hinged.param_groups(model)", "a model with every parameter frozen", hint
            )
        )
    weights = [parameter for parameter in trained if id(parameter) not in curves]
    values = [parameter for parameter in trained if id(parameter) in curves]
    groups = [
        {"name": "weights", "params": weights, "lr": lr, "weight_decay": weight_decay},
        {"name": "curves", "params": values, "lr": rates["curve_lr"], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def parameters_of(model: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Parameter]:
    """Return the parameters of all modules of these types, in the order of the model."""
    return [
        parameter
        for module in model.modules()
        if isinstance(module, types)
        for parameter in module.parameters()
    ]


def exchange(
    optimizers: Optimizer | Iterable[Optimizer], pairs: Mapping[nn.Parameter, nn.Parameter]
) -> None:
    """Have optimisers train new parameters in the places of old ones, whose state they forget.

    Args:
        optimizers: one or several; parameters that they do not hold are passed over.
        pairs: the new parameter for each old one.

    >>> import torch
    >>> old, new = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))
    >>> optimiser = torch.optim.SGD([old], lr=0.1)
    >>> exchange(optimiser, {old: new})
    >>> optimiser.param_groups[0]["params"][0] is new
    True
    """
    for optimizer in [optimizers] if isinstance(optimizers, Optimizer) else optimizers:
        for group in optimizer.param_groups:
            # In place: some optimisers keep a second reference to the list.
            group["params"][:] = [pairs.get(held, held) for held in group["params"]]
        for old in pairs:
            optimizer.state.pop(old, None)
