"""Conjugate gradients over all weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.curve_step import curve_step, trains_curves
from hinged.optim.descent import descend
from hinged.optim.forward import Pass, forward, optimal_factor
from hinged.optim.network import MLP

Direction = tuple[Tensor, Tensor]
"""In all weights: of the hidden ones `(H, N + 1)`, of the output ones `(M, N + H + 1)`."""


def conjugate_gradient(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train a network in place, one iteration each time it is asked to go on.

    `p <- g + b p`, with `b` after Fletcher and Reeves, and a step along `p` by its optimal factor,
    halved until the error falls. It begins anew with `p = g` after as many iterations as there are
    weights, and where no step along `p` lowers the error. Trained curves take their step after it
    (`curve_step`).

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Source: Fletcher and Reeves, "Function minimization by conjugate gradients" (The Computer
    Journal, 1964).
    """
    while True:
        yield from _cycle(network, x, y)


def change_along(now: Pass, direction: Direction) -> Tensor:
    """Return how the outputs change when all weights move in a direction, `dy/dz` `(P, M)`."""
    hidden, output = direction
    return now.along(hidden) @ now.weights.T + now.basis @ output.T


def _cycle(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Go on from the gradient until it is time to begin anew."""
    now = forward(network, x, y)
    direction = now.gradient, now.output_gradient
    energy = _energy(direction)
    for _ in range(direction[0].numel() + direction[1].numel()):
        factor = optimal_factor(now.errors, change_along(now, direction))
        fell = descend(network, x, y, now, factor * direction[0], factor * direction[1])
        if trains_curves(network):
            curve_step(network, x, y)
        yield
        now = forward(network, x, y)
        gradient = now.gradient, now.output_gradient
        share = _energy(gradient) / energy if energy else 0.0
        energy = _energy(gradient)
        if not fell:
            return
        direction = gradient[0] + share * direction[0], gradient[1] + share * direction[1]


def _energy(direction: Direction) -> float:
    return float(sum(part.square().sum() for part in direction))
