"""A step of the weights that is halved until it lowers the error."""

from __future__ import annotations

from torch import Tensor

from hinged.optim.batches import Rows
from hinged.optim.mean_error import mean_error
from hinged.optim.network import MLP

_HALVINGS = 20


def backtracking_step(
    network: MLP,
    x: Rows,
    y: Tensor | None,
    error: float,
    hidden: Tensor | None = None,
    output: Tensor | None = None,
) -> bool:
    """Change the weights of a network by a step, and halve the step until the error falls.

    A Gauss-Newton step assumes that the slopes of the activations are constant. A long step can
    therefore raise the error. A step along a downhill direction lowers the error if the step is
    short enough. The error is the sum of the squared errors over the outputs, averaged over the
    samples.

    Args:
        network: the network, changed in place. It is unchanged if 20 halvings do not lower the
            error.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.
        error: the error of the network before the step.
        hidden: the step of the weights of the `H` hidden units, `(H, N + 1)` with the bias last;
            None for no step.
        output: the step of the output weights, `(M, N + H + 1)` in the order inputs, hidden units,
            bias; None for no step.

    Returns:
        True if the error fell, and False if the network is unchanged.
    """
    for halving in range(_HALVINGS):
        step = [None if part is None else part / 2**halving for part in (hidden, output)]
        network.add_to_weights(*step)
        if mean_error(network, x, y) < error:
            return True
        network.add_to_weights(*(None if part is None else -part for part in step))
    return False
