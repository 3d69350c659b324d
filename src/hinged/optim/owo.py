"""Output weight optimisation (OWO): least squares for the output weights."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged.optim.batches import Rows, batches
from hinged.optim.forward_pass import with_ones
from hinged.optim.least_squares import least_squares, rank, reduce_rows
from hinged.optim.network import MLP


def owo(network: MLP, x: Rows, y: Tensor | None = None) -> None:
    """Set the output weights, the bypass weights and the output bias to their least-squares
    solution.

    If several solutions have the same error, the one with the smallest norm is used.

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.

    Raises:
        ArgumentError: if an input, a target or an output of a hidden unit is infinite or NaN, or
            for the reasons that `fit` names.
        DtypeError: if the dtype of inputs or targets is not that of the network.

    Source: Barton, "A matrix method for optimizing a neural network" (Neural Computation, 1991);
    Manry et al., "Fast training of neural networks for remote sensing" (1994).

    >>> x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    >>> network = MLP(1, 1, 1, torch.nn.ReLU())
    >>> owo(network, x, 3 * x + 2)
    >>> network(x).allclose(3 * x + 2)
    True
    """
    solved = least_squares(*_reduced_basis(network, x, y)).T
    with torch.no_grad():
        old = (network.bypass.weight, network.output.weight, network.output.bias[:, None])
        network.add_to_weights(output=solved - torch.cat(old, dim=1))


def rank_deficiency(network: MLP, x: Rows, y: Tensor | None = None) -> int:
    """Return the number of directions of the output weights that the samples do not determine.

    The output weights multiply the features, the outputs of the hidden units, and 1. The result is
    the number `N + H + 1` of these functions, minus the number of those that are linearly
    independent. Dead units, constant features, and features or units that repeat others make it
    larger than 0. `owo` ignores these directions. If a function has infinite or NaN values, the
    result is `N + H + 1`.

    Args:
        network: the network.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.

    >>> network = MLP(1, 4, 1, torch.nn.ReLU())
    >>> _ = torch.nn.init.constant_(network.hidden.bias, -100)  # dead units
    >>> x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    >>> rank_deficiency(network, x, x)
    4
    """
    basis, _ = _reduced_basis(network, x, y)
    return basis.shape[1] - rank(basis)


@torch.no_grad()
def _reduced_basis(network: MLP, x: Rows, y: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the basis functions and the targets of all samples, reduced to a few rows."""
    return reduce_rows(
        (with_ones(inputs, network.activation(network.hidden(inputs))), targets)
        for inputs, targets in batches(network, x, y)
    )
