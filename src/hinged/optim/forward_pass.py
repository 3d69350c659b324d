"""The forward pass of all patterns through the network, and its derivatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged.optim.network import MLP


class ForwardPass(NamedTuple):
    """The results of a forward pass of `P` patterns.

    Attributes:
        inputs: the patterns and a column of ones, `(P, N + 1)`.
        basis: inputs, hidden units and ones, `(P, N + H + 1)`; the outputs are linear in these.
        slopes: derivatives `f'(n)` of the activation, `(P, H)`.
        errors: targets minus outputs, `(P, M)`.
        weights: from hidden units to outputs, `W_oh` `(M, H)`.
    """

    inputs: Tensor
    basis: Tensor
    slopes: Tensor
    errors: Tensor
    weights: Tensor

    @property
    def error(self) -> float:
        """The error `E`: squared errors summed over outputs, averaged over patterns."""
        return self.errors.square().sum().item() / len(self.errors)

    @property
    def gradient(self) -> Tensor:
        """The negative gradient `-dE/dW` for the hidden weights, `(H, N + 1)`."""
        return 2 / len(self.errors) * self.deltas.T @ self.inputs

    @property
    def output_gradient(self) -> Tensor:
        """The negative gradient `-dE/dW` for the output weights, `(M, N + H + 1)`."""
        return 2 / len(self.errors) * self.errors.T @ self.basis

    @property
    def deltas(self) -> Tensor:
        """The errors propagated back to the nets, `f'(n) W_oh^T (t - y)`, `(P, H)`."""
        return self.slopes * (self.errors @ self.weights)

    def hidden_change(self, direction: Tensor) -> Tensor:
        """Return the derivative of each hidden unit along a direction of its weights.

        Args:
            direction: `(H, N + 1)`.

        Returns:
            `f'(n_k) sum_n d(k, n) x(n)`, `(P, H)`.
        """
        return self.slopes * (self.inputs @ direction.T)


def forward_pass(network: MLP, x: Tensor, y: Tensor) -> ForwardPass:
    """Return the forward pass of patterns `x` `(P, N)` with targets `y` `(P, M)`."""
    ones = x.new_ones(len(x), 1)
    nets = network.hidden(x).detach().requires_grad_()
    hidden = network.activation(nets)
    (slopes,) = torch.autograd.grad(hidden.sum(), nets)
    hidden = hidden.detach()
    with torch.no_grad():
        errors = y - network.output(hidden) - network.bypass(x)
    return ForwardPass(
        inputs=torch.cat((x, ones), dim=1),
        basis=torch.cat((x, hidden, ones), dim=1),
        slopes=slopes,
        errors=errors,
        weights=network.output.weight.detach(),
    )


def optimal_learning_factor(errors: Tensor, change: Tensor) -> float:
    """Return the step length along a direction that minimises the linearised error.

    `z = sum (t - y) dy/dz / sum (dy/dz)^2`, one Gauss-Newton step; 0 if the outputs do not change.

    Args:
        errors: targets minus outputs, `(P, M)`.
        change: derivative of the outputs along the direction, `dy/dz` `(P, M)`.

    >>> optimal_learning_factor(torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]]))
    0.5
    """
    curvature = change.square().sum().item()
    return (errors * change).sum().item() / curvature if curvature else 0.0
