"""The step of the trained curves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.nn import PiecewiseLinear
from hinged.optim.forward import optimal_factor
from hinged.optim.network import MLP


def trains_curves(network: MLP) -> bool:
    """Whether the activation is one of curves whose values require gradients.

    >>> trains_curves(MLP(2, 3, 1, PiecewiseLinear(3))), trains_curves(MLP(2, 3, 1, nn.ReLU()))
    (True, False)
    """
    return bool(_trained(network.activation))


def check_activation(call: str, network: MLP) -> None:
    """Raise where an activation has parameters that no method here would train.

    Raises:
        ArgumentError: parameters that require gradients in another activation than
            `hinged.PiecewiseLinear`; the sentence names `call`.
    """
    activation = network.activation
    if not isinstance(activation, PiecewiseLinear) and any(
        parameter.requires_grad for parameter in activation.parameters()
    ):
        got = f"a {type(activation).__name__} with trained parameters"
        hint = "only curves are trained: use hinged.PiecewiseLinear or .requires_grad_(False)"
        raise errors.ArgumentError(errors.message(call, got, hint))


def curve_step(network: MLP, x: Tensor, y: Tensor) -> float:
    """Move the values of the curves along the negative gradient by its optimal factor.

    `G_o = -dE/da`, `a <- a + z G_o`. The outputs are linear in the values, so `z` is where the
    error along `G_o` is least, and the error cannot rise.

    Args:
        network: with curves that require gradients; changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Returns:
        `z`.

    Source: Rane, Tyagi and Manry (arXiv 2308.05724), with the optimal learning factor of the same
    laboratory.
    """
    trained = _trained(network.activation)
    nets = network.hidden(x).detach()
    weights = network.output.weight.detach()
    bypassed = network.bypass(x).detach()
    errors = y - network.output(network.activation(nets)) - bypassed
    gradients = torch.autograd.grad(-errors.square().sum() / len(x), list(trained.values()))
    direction = dict(zip(trained, gradients, strict=True))
    with torch.no_grad():
        change = _of(network.activation, direction, nets) @ weights.T
        factor = optimal_factor(errors.detach(), change)
        for name, parameter in trained.items():
            parameter.add_(factor * direction[name])
    return factor


def _trained(activation: nn.Module) -> dict[str, nn.Parameter]:
    if not isinstance(activation, PiecewiseLinear):
        return {}
    return {name: p for name, p in activation.named_parameters() if p.requires_grad}


def _of(activation: nn.Module, values: dict[str, Tensor], nets: Tensor) -> Tensor:
    """Return what curves with other values give, `(P, H)`: how the outputs change along them."""
    changed: Tensor = torch.func.functional_call(activation, values, (nets,))
    return changed
