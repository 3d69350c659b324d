"""The optimisation step for trainable curves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.nn import PiecewiseLinear
from hinged.optim.batches import Rows, batches, mean_over_rows
from hinged.optim.forward_pass import optimal_learning_factor
from hinged.optim.network import MLP


def has_trainable_curves(network: MLP) -> bool:
    """Return whether the activation is a `PiecewiseLinear` with parameters that require gradients.

    >>> has_trainable_curves(MLP(2, 3, 1, PiecewiseLinear(3)))
    True
    >>> has_trainable_curves(MLP(2, 3, 1, nn.ReLU()))
    False
    """
    return bool(_trainable_parameters(network.activation))


def check_activation(call: str, network: MLP) -> None:
    """Check that every trainable parameter of the activation belongs to curves.

    Args:
        call: the call that the user made, for the error message.
        network: the network.

    Raises:
        ArgumentError: if the activation is not a `PiecewiseLinear` and has parameters that require
            gradients, because no method of `hinged.optim` trains these.
    """
    activation = network.activation
    if not isinstance(activation, PiecewiseLinear) and any(
        parameter.requires_grad for parameter in activation.parameters()
    ):
        got = f"a {type(activation).__name__} with trainable parameters"
        hint = (
            "only curves can be trained: use hinged.PiecewiseLinear, or call "
            "network.activation.requires_grad_(False)"
        )
        raise errors.ArgumentError(errors.message(call, got, hint))


def curve_step(network: MLP, x: Rows, y: Tensor | None = None) -> float:
    """Move the values of the curves along their negative gradient, by an optimal step length.

    The step is `a <- a + z d`. Here `a` are the trained parameters of the curves (the values, and
    the slopes of free tails), `d = -dE/da` is the negative gradient, and `z` is the step length.
    The error `E` is the sum of the squared errors over the outputs, averaged over the samples. The
    outputs of the network are linear in `a`, so `E` is a quadratic function of `z`. The step takes
    the `z` with the smallest `E`. The error therefore cannot rise.

    Args:
        network: a network with curves that require gradients, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.

    Returns:
        The step length `z`.

    Source: Rane, Tyagi and Manry (arXiv 2308.05724).
    """
    trained = _trainable_parameters(network.activation)
    gradients = mean_over_rows(
        (len(inputs), _negative_gradients(network, list(trained.values()), inputs, targets))
        for inputs, targets in batches(network, x, y)
    )
    direction = dict(zip(trained, gradients, strict=True))
    with torch.no_grad():
        changes = (
            _apply_curves(network.activation, direction, network.hidden(inputs))
            @ network.output.weight.T
            for inputs, _ in batches(network, x, y)
        )
        descent = sum(part.square().sum().item() for part in gradients)
        factor = optimal_learning_factor(descent, changes)
        for name, parameter in trained.items():
            parameter.add_(factor * direction[name])
    return factor


def _negative_gradients(
    network: MLP, parameters: list[nn.Parameter], x: Tensor, y: Tensor
) -> tuple[Tensor, ...]:
    """Return the negative gradient of the error with respect to parameters of the activation."""
    with torch.no_grad():
        nets, bypassed = network.hidden(x), network.bypass(x)
    errors = y - network.output(network.activation(nets)) - bypassed
    return torch.autograd.grad(-errors.square().sum() / len(x), parameters)


def _trainable_parameters(activation: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of a `PiecewiseLinear` that require gradients, by name.

    For any other activation, the dict is empty.
    """
    if not isinstance(activation, PiecewiseLinear):
        return {}
    return {name: p for name, p in activation.named_parameters() if p.requires_grad}


def _apply_curves(activation: nn.Module, values: dict[str, Tensor], nets: Tensor) -> Tensor:
    """Return the outputs of the hidden units, `(P, H)`, with parameters of the layer replaced.

    Args:
        activation: the `PiecewiseLinear` layer, which does not change.
        values: the tensors that replace parameters of the layer, by name.
        nets: the pre-activations of the hidden units, `(P, H)`.
    """
    outputs: Tensor = torch.func.functional_call(activation, values, (nets,))
    return outputs
