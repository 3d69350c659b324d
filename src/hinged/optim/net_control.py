"""`net_control`: suitable means and standard deviations of the pre-activations at the start."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged.optim.batches import Rows, input_batches
from hinged.optim.network import MLP


@torch.no_grad()
def net_control(network: MLP, x: Rows, mean: float = 0.5, std: float = 1.0) -> None:
    """Scale the hidden weights and set the biases so that pre-activations have a given mean and
    standard deviation.

    For each hidden unit, the mean and the standard deviation are taken over the training samples.

    Args:
        network: the network, changed in place. A unit with a constant pre-activation is only
            shifted.
        x: training inputs of `P` samples with `N` features, `(P, N)`, or batches of inputs and
            targets (see `fit`), which are iterated once.
        mean: the new mean of every pre-activation.
        std: the new standard deviation of every pre-activation.

    Raises:
        ArgumentError: if the shape of the inputs does not suit the network, if an input is infinite
            or NaN, or if there are no rows.
        DtypeError: if the dtype of the inputs is not that of the network.

    >>> x = torch.randn(100, 3, dtype=torch.float64)
    >>> network = MLP(3, 4, 1, torch.nn.ReLU())
    >>> net_control(network, x)
    >>> [round(mean, 9) for mean in network.hidden(x).mean(dim=0).tolist()]
    [0.5, 0.5, 0.5, 0.5]
    """
    center, variance = _mean_and_variance(network, x)
    scale = torch.where(variance > 0, std / variance.sqrt(), 1.0)
    network.hidden.weight.mul_(scale[:, None])
    network.hidden.bias.copy_(mean - scale * (center - network.hidden.bias))


def _mean_and_variance(network: MLP, x: Rows) -> tuple[Tensor, Tensor]:
    """Return the means and the variances of the pre-activations over all rows, both `(H,)`.

    They are taken relative to the pre-activations of the first row. So equal rows have a variance
    of exactly 0: products of equal rows can differ by rounding in batches of different sizes.

    Source of the update by a batch: Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979).
    """
    rows = 0
    mean = variance = torch.zeros_like(network.hidden.bias)
    first_row = torch.zeros_like(network.hidden.weight[0])
    for inputs in input_batches(network, x):
        if rows == 0:
            first_row = inputs[0].clone()
        relative = (inputs - first_row) @ network.hidden.weight.T
        batch_variance, batch_mean = torch.var_mean(relative, dim=0, correction=0)
        rows += len(inputs)
        share, change = len(inputs) / rows, batch_mean - mean
        mean = mean + share * change
        variance = variance + share * (batch_variance - variance + (1 - share) * change.square())
    return network.hidden(first_row) + mean, variance
