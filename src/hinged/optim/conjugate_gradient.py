"""Training of all weights by conjugate gradients."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import ForwardPass, forward_pass, optimal_learning_factor
from hinged.optim.network import MLP

Direction = tuple[Tensor, Tensor]
"""A change of the hidden weights `(H, N + 1)` and of the output weights `(M, N + H + 1)`."""


def conjugate_gradient(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train a network in place, with one iteration per item of the iterator.

    The direction is `p <- g + b p`, with `b` from Fletcher and Reeves. The step along `p` is its
    optimal learning factor, halved until the error falls. The direction is reset to `p = g` after
    as many iterations as there are weights, or if no step along `p` lowers the error. After each
    step, trainable curves take their own step (`curve_step`).

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Source: Fletcher and Reeves, "Function minimization by conjugate gradients" (The Computer
    Journal, 1964).
    """
    while True:
        yield from _cycle(network, x, y)


def output_change(now: ForwardPass, direction: Direction) -> Tensor:
    """Return the derivative of the outputs along a direction of all weights, `dy/dz` `(P, M)`."""
    hidden, output = direction
    return now.hidden_change(hidden) @ now.weights.T + now.basis @ output.T


def _cycle(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Iterate from the gradient until the direction must be reset."""
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
    return float(sum(part.square().sum() for part in direction))
