"""Output weight optimisation (OWO): least squares for the output weights."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged.optim.forward_pass import forward_pass
from hinged.optim.least_squares import least_squares
from hinged.optim.network import MLP


def owo(network: MLP, x: Tensor, y: Tensor) -> None:
    """Set the output weights, the bypass weights and the output bias to their least-squares
    solution.

    If several solutions have the same error, the one with the smallest norm is used.

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`.
        y: targets, `(P, M)` for `M` outputs.

    Source: Barton, "A matrix method for optimizing a neural network" (Neural Computation, 1991);
    Manry et al., "Fast training of neural networks for remote sensing" (1994).

    >>> x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    >>> network = MLP(1, 1, 1, torch.nn.ReLU())
    >>> owo(network, x, 3 * x + 2)
    >>> network(x).allclose(3 * x + 2)
    True
    """
    basis = forward_pass(network, x, y).basis
    solved = least_squares(basis, y).T
    with torch.no_grad():
        old = (network.bypass.weight, network.output.weight, network.output.bias[:, None])
        network.add_to_weights(output=solved - torch.cat(old, dim=1))
