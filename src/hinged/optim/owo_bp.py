"""OWO-BP: back-propagation for the hidden weights, least squares for the others."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.curve_step import curve_step, trains_curves
from hinged.optim.descent import descend
from hinged.optim.forward import forward, optimal_factor
from hinged.optim.network import MLP
from hinged.optim.owo import owo


def owo_bp(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train a network in place, one iteration each time it is asked to go on.

    The hidden weights move along the negative gradient by its optimal factor, one
    Gauss-Newton step, halved where the error would rise; the output weights are solved for (`owo`).
    Trained curves take their step (`curve_step`) in between.

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
    """
    owo(network, x, y)
    while True:
        now = forward(network, x, y)
        direction = now.gradient
        factor = optimal_factor(now.errors, now.along(direction) @ now.weights.T)
        descend(network, x, y, now, factor * direction)
        solve_outputs(network, x, y)
        yield


def solve_outputs(network: MLP, x: Tensor, y: Tensor) -> None:
    """Do `owo`, and, where curves are trained, their step and `owo` again."""
    owo(network, x, y)
    if trains_curves(network):
        curve_step(network, x, y)
        owo(network, x, y)
