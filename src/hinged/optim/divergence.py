"""What happens when the numbers of a training become infinite or NaN."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch

from hinged import errors
from hinged.optim.batches import Rows
from hinged.optim.mean_error import mean_error
from hinged.optim.network import MLP


@contextlib.contextmanager
def undone_on_error(network: MLP) -> Iterator[None]:
    """Give a network its previous parameters back if an error or an interrupt ends the `with`
    block.

    >>> network = MLP(2, 3, 1, torch.nn.ReLU())
    >>> with contextlib.suppress(ZeroDivisionError), undone_on_error(network):
    ...     network.add_to_weights(torch.full((3, 3), torch.nan))
    ...     1 / 0
    >>> bool(network.hidden.weight.isfinite().all())
    True
    """
    before = [parameter.detach().clone() for parameter in network.parameters()]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for parameter, kept in zip(network.parameters(), before, strict=True):
                parameter.copy_(kept)
        raise


def finite_error(network: MLP, x: Rows, y: torch.Tensor | None = None) -> float:
    """Return the error of a network after a training step, as `mean_error` does.

    Args:
        network: the network.
        x: inputs of all rows, `(P, N)`, or batches as in `fit`.
        y: targets of all rows, `(P, M)`; None if `x` are batches.

    Raises:
        ArgumentError: if the error or a parameter is infinite or NaN.
    """
    error = mean_error(network, x, y)
    if not math.isfinite(error) or not all(each.isfinite().all() for each in network.parameters()):
        got = "infinite numbers or NaN in a training step"
        hint = (
            "the step was undone, so the network has its last finite parameters: scale inputs and "
            "targets down"
        )
        raise errors.ArgumentError(errors.message("hinged.optim", got, hint))
    return error
