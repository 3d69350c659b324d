"""OWO-BP (output weight optimisation and backpropagation): gradient steps for the hidden weights,
and least squares for the output weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.batches import Rows
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import error_and_gradients, forward_passes, optimal_learning_factor
from hinged.optim.network import MLP
from hinged.optim.owo import owo


def owo_bp(network: MLP, x: Rows, y: Tensor | None = None) -> Iterator[None]:
    """Return an iterator that trains a network by OWO-BP.

    Each `next` call on the iterator trains for one iteration. An iteration has these steps:

    1. The hidden weights move along the negative gradient of the error. `optimal_learning_factor`
       computes the step length, which is then halved until the error falls.
    2. The output weights are set to their least-squares solution (`owo`).
    3. Trainable curves take a separate step (`curve_step`), and `owo` is repeated.

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.
    """
    owo(network, x, y)
    while True:
        passes = forward_passes(network, x, y)
        error, direction, _ = error_and_gradients(passes)
        changes = (now.hidden_change(direction) @ now.weights.T for now in passes)
        factor = optimal_learning_factor(float(direction.square().sum()), changes)
        backtracking_step(network, x, y, error, factor * direction)
        solve_output_weights(network, x, y)
        yield


def solve_output_weights(network: MLP, x: Rows, y: Tensor | None) -> None:
    """Set the output weights to their least-squares solution.

    Trainable curves then take a step (`curve_step`), and the least-squares solution is computed
    again.
    """
    owo(network, x, y)
    if has_trainable_curves(network):
        curve_step(network, x, y)
        owo(network, x, y)
