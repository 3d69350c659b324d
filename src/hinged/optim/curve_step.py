"""The optimisation step for trainable curves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.nn import PiecewiseLinear
from hinged.optim.forward_pass import optimal_learning_factor
from hinged.optim.network import MLP


def has_trainable_curves(network: MLP) -> bool:
    """Return whether the activation is a `PiecewiseLinear` with values that require gradients.

    >>> has_trainable_curves(MLP(2, 3, 1, PiecewiseLinear(3)))
    True
    >>> has_trainable_curves(MLP(2, 3, 1, nn.ReLU()))
    False
    """
    return bool(_trainable_parameters(network.activation))


def check_activation(call: str, network: MLP) -> None:
    """Raise an error if the activation has trainable parameters that no method here trains.

    Raises:
        ArgumentError: an activation other than `hinged.PiecewiseLinear` has parameters that require
            gradients; the message names `call`.
    """
    activation = network.activation
    if not isinstance(activation, PiecewiseLinear) and any(
        parameter.requires_grad for parameter in activation.parameters()
    ):
        got = f"a {type(activation).__name__} with trained parameters"
        hint = "only curves can be trained: use hinged.PiecewiseLinear or .requires_grad_(False)"
        raise errors.ArgumentError(errors.message(call, got, hint))


def curve_step(network: MLP, x: Tensor, y: Tensor) -> float:
    """Move the values of the curves along the negative gradient by its optimal learning factor.

    `G_o = -dE/da`, `a <- a + z G_o`. The outputs are linear in the values, so `z` minimises the
    error along `G_o` exactly, and the error cannot rise.

    Args:
        network: with curves that require gradients; changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Returns:
        `z`.

    Source: Rane, Tyagi and Manry (arXiv 2308.05724), with the optimal learning factor from the same
    laboratory.
    """
    trained = _trainable_parameters(network.activation)
    nets = network.hidden(x).detach()
    weights = network.output.weight.detach()
    bypassed = network.bypass(x).detach()
    errors = y - network.output(network.activation(nets)) - bypassed
    gradients = torch.autograd.grad(-errors.square().sum() / len(x), list(trained.values()))
    direction = dict(zip(trained, gradients, strict=True))
    with torch.no_grad():
        change = _apply_curves(network.activation, direction, nets) @ weights.T
        factor = optimal_learning_factor(errors.detach(), change)
        for name, parameter in trained.items():
            parameter.add_(factor * direction[name])
    return factor


def _trainable_parameters(activation: nn.Module) -> dict[str, nn.Parameter]:
    if not isinstance(activation, PiecewiseLinear):
        return {}
    return {name: p for name, p in activation.named_parameters() if p.requires_grad}


def _apply_curves(activation: nn.Module, values: dict[str, Tensor], nets: Tensor) -> Tensor:
    """Apply the curves with other values to the nets, `(P, H)`."""
    outputs: Tensor = torch.func.functional_call(activation, values, (nets,))
    return outputs
