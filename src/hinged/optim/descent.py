"""A step that does not raise the error."""

from __future__ import annotations

from torch import Tensor

from hinged.optim.forward import Pass, forward
from hinged.optim.network import MLP

_HALVINGS = 20


def descend(
    network: MLP,
    x: Tensor,
    y: Tensor,
    now: Pass,
    hidden: Tensor | None = None,
    output: Tensor | None = None,
) -> bool:
    """Move the weights by a step, halved until the error falls.

    A Gauss-Newton step trusts the slopes of the activations beyond where they hold, and can raise
    the error; half of a step downhill, or half of that, cannot.

    Args:
        network: changed in place; left as it was where 20 halvings do not help.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
        now: the network's pass before the step.
        hidden, output: the step, as `MLP.move` takes it.

    Returns:
        Whether the error fell.
    """
    for halving in range(_HALVINGS):
        step = [None if part is None else part / 2**halving for part in (hidden, output)]
        network.move(*step)
        if forward(network, x, y).error < now.error:
            return True
        network.move(*(None if part is None else -part for part in step))
    return False
