"""The error of a network."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged.optim.batches import Rows, batches, mean_over_rows
from hinged.optim.network import MLP


@torch.no_grad()
def mean_error(network: MLP, x: Rows, y: Tensor | None = None) -> float:
    """Return the sum of the squared errors over the outputs, averaged over the rows.

    Args:
        network: the network.
        x: inputs of all rows, `(P, N)`, or batches as in `fit`.
        y: targets of all rows, `(P, M)`; None if `x` are batches.

    >>> network = MLP(2, 3, 2, torch.nn.ReLU())
    >>> x = torch.zeros(4, 2, dtype=torch.float64)
    >>> mean_error(network, x, network(x) + 1)
    2.0
    """
    (error,) = mean_over_rows(
        (len(inputs), [(targets - network(inputs)).square().sum().item() / len(inputs)])
        for inputs, targets in batches(network, x, y)
    )
    return float(error)
