"""Warns of optimizers that apply weight decay to curves."""

from __future__ import annotations

import warnings

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.nn.living_objects import LivingObjects

curve_layers_alive: LivingObjects[nn.Module] = LivingObjects()
"""All `PiecewiseLinear` layers of the process."""


def warn_of_decay(optimizer: Optimizer) -> None:
    """Warn if an optimizer applies weight decay to the values of curves.

    Groups of `hinged.param_groups` have none. The `Trainer` of transformers and optimizers that are
    made from `model.parameters()` often have some.
    """
    decayed = {
        id(parameter)
        for group in optimizer.param_groups
        if group.get("weight_decay")
        for parameter in group["params"]
        if parameter.requires_grad
    }
    count = sum(id(layer._parameters.get("values")) in decayed for layer in curve_layers_alive)
    if count:
        got = f"weight decay for the curves of {count} layer{'s' * (count > 1)}"
        hint = (
            "it pulls the values of curves to 0, and not to their start: make the optimizer from "
            "hinged.param_groups(model, lr, weight_decay)"
        )
        call = f"{type(optimizer).__name__}.step"
        warnings.warn(errors.message(call, got, hint), errors.DecayedCurvesWarning, stacklevel=4)
