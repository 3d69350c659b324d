"""Training of all weights of a network by the conjugate gradient method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.batches import Rows
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import (
    ForwardPass,
    error_and_gradients,
    forward_passes,
    optimal_learning_factor,
)
from hinged.optim.network import MLP

Direction = Sequence[Tensor]
"""A change of the hidden weights `(H, N + 1)` and a change of the output weights `(M, N + H + 1)`.

The sizes are `N` features, `H` hidden units and `M` outputs.
"""


def conjugate_gradient(network: MLP, x: Rows, y: Tensor | None = None) -> Iterator[None]:
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
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.

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


def _cycle(network: MLP, x: Rows, y: Tensor | None) -> Iterator[None]:
    """Train along the negative gradient first, and yield after each iteration until the next reset
    of the direction."""
    passes = forward_passes(network, x, y)
    error, *gradient = error_and_gradients(passes)
    direction = gradient
    for _ in range(sum(part.numel() for part in direction)):
        changes = (output_change(now, direction) for now in passes)
        factor = optimal_learning_factor(_inner_product(direction, gradient), changes)
        fell = backtracking_step(network, x, y, error, *(factor * part for part in direction))
        if has_trainable_curves(network):
            curve_step(network, x, y)
        yield
        if not fell:
            return
        energy = _inner_product(gradient, gradient)
        passes = forward_passes(network, x, y)
        error, *gradient = error_and_gradients(passes)
        share = _inner_product(gradient, gradient) / energy if energy else 0.0
        direction = [new + share * old for new, old in zip(gradient, direction, strict=True)]


def _inner_product(a: Direction, b: Direction) -> float:
    """Return the sum of the products of all entries of two directions."""
    return float(sum((first * second).sum() for first, second in zip(a, b, strict=True)))
