"""Output weight optimisation."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged.optim.forward import forward
from hinged.optim.least_squares import least_squares
from hinged.optim.network import MLP


def owo(network: MLP, x: Tensor, y: Tensor) -> None:
    """Give the network the output and bypass weights of least squares.

    Basis functions that are combinations of others get the smallest weights that do as well.

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Source: Barton, "A matrix method for optimizing a neural network" (Neural Computation, 1991);
    Manry et al., "Fast training of neural networks for remote sensing" (1994).

    >>> x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    >>> network = MLP(1, 1, 1, torch.nn.ReLU())
    >>> owo(network, x, 3 * x + 2)
    >>> network(x).allclose(3 * x + 2)
    True
    """
    basis = forward(network, x, y).basis
    solved = least_squares(basis, y).T
    with torch.no_grad():
        old = (network.bypass.weight, network.output.weight, network.output.bias[:, None])
        network.move(output=solved - torch.cat(old, dim=1))
