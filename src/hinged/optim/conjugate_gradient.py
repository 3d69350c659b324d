"""Training of all weights of a network by the conjugate gradient method."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import ForwardPass, forward_pass, optimal_learning_factor
from hinged.optim.network import MLP

Direction = tuple[Tensor, Tensor]
"""A change of the hidden weights `(H, N + 1)` and a change of the output weights `(M, N + H + 1)`.

The sizes are `N` features, `H` hidden units and `M` outputs.
"""


def conjugate_gradient(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Return an iterator that trains a network by conjugate gradients.

    Each `next` call on the iterator trains for one iteration. In each iteration, the direction of
    the step is `p = g + b p_old`. Here `g` is the negative gradient of the error with respect to
    all weights, `p_old` is the direction of the last iteration, and `b` is the factor of Fletcher
    and Reeves. `optimal_learning_factor` computes the step length, which is then halved until the
    error falls. Trainable curves take a separate step afterwards (`curve_step`).

    The direction is reset to `p = g` if no step along `p` lowers the error, or after `Q` iterations
    for a network with `Q` weights.

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`.
        y: targets, `(P, M)` for `M` outputs.

    Source: Fletcher and Reeves, "Function minimization by conjugate gradients" (The Computer
    Journal, 1964).
    """
    while True:
        yield from _cycle(network, x, y)


def output_change(now: ForwardPass, direction: Direction) -> Tensor:
    """Return the derivative `dy/dz` of the outputs `y` of a network, `(P, M)`.

    Here `z` is the length of a step of all weights along `direction`.
    """
    hidden, output = direction
    return now.hidden_change(hidden) @ now.weights.T + now.basis @ output.T


def _cycle(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train along the negative gradient first, and yield after each iteration until the next reset
    of the direction."""
    now = forward_pass(network, x, y)
    direction = now.gradient, now.output_gradient
    energy = _energy(direction)
    for _ in range(direction[0].numel() + direction[1].numel()):
        factor = optimal_learning_factor(now.errors, output_change(now, direction))
        fell = backtracking_step(network, x, y, now, factor * direction[0], factor * direction[1])
        if has_trainable_curves(network):
            curve_step(network, x, y)
        yield
        now = forward_pass(network, x, y)
        gradient = now.gradient, now.output_gradient
        share = _energy(gradient) / energy if energy else 0.0
        energy = _energy(gradient)
        if not fell:
            return
        direction = gradient[0] + share * direction[0], gradient[1] + share * direction[1]


def _energy(direction: Direction) -> float:
    """Return the sum of the squares of all entries of a direction."""
    return float(sum(part.square().sum() for part in direction))
