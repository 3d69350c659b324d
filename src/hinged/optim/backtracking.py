"""A step that is halved until it lowers the error."""

from __future__ import annotations

from torch import Tensor

from hinged.optim.forward_pass import ForwardPass, forward_pass
from hinged.optim.network import MLP

_HALVINGS = 20


def backtracking_step(
    network: MLP,
    x: Tensor,
    y: Tensor,
    now: ForwardPass,
    hidden: Tensor | None = None,
    output: Tensor | None = None,
) -> bool:
    """Change the weights by a step, halved until the error falls.

    A Gauss-Newton step assumes that the slopes of the activations are constant, so a large step can
    raise the error. A downhill step that is small enough lowers it.

    Args:
        network: changed in place; unchanged if 20 halvings do not lower the error.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
        now: the forward pass before the step.
        hidden, output: the step, as in `MLP.add_to_weights`.

    Returns:
        Whether the error fell.
    """
    for halving in range(_HALVINGS):
        step = [None if part is None else part / 2**halving for part in (hidden, output)]
        network.add_to_weights(*step)
        if forward_pass(network, x, y).error < now.error:
            return True
        network.add_to_weights(*(None if part is None else -part for part in step))
    return False
