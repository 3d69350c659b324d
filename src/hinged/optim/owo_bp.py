"""OWO-BP: gradient steps for the hidden weights, least squares for the output weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import forward_pass, optimal_learning_factor
from hinged.optim.network import MLP
from hinged.optim.owo import owo


def owo_bp(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train a network in place, with one iteration per item of the iterator.

    The hidden weights move along the negative gradient by its optimal learning factor, one
    Gauss-Newton step, halved until the error falls. Then the output weights are solved for (`owo`).
    Trainable curves then take their own step (`curve_step`), followed by another `owo`.

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
    """
    owo(network, x, y)
    while True:
        now = forward_pass(network, x, y)
        direction = now.gradient
        factor = optimal_learning_factor(now.errors, now.hidden_change(direction) @ now.weights.T)
        backtracking_step(network, x, y, now, factor * direction)
        solve_output_weights(network, x, y)
        yield


def solve_output_weights(network: MLP, x: Tensor, y: Tensor) -> None:
    """Solve for the output weights; with trainable curves also step these, and solve again."""
    owo(network, x, y)
    if has_trainable_curves(network):
        curve_step(network, x, y)
        owo(network, x, y)
