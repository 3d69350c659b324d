"""The forward pass of all samples through a network, and its derivatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged.optim.network import MLP


class ForwardPass(NamedTuple):
    """The results of a forward pass of `P` samples.

    Sizes: `N` features, `H` hidden units, `M` outputs.

    Attributes:
        inputs: the features of each sample and a one for the bias, `(P, N + 1)`.
        basis: features, outputs of the hidden units, and a one for the bias, `(P, N + H + 1)`. The
            outputs of the network are linear in these functions.
        slopes: derivatives `f'(n)` of the activation at the pre-activations `n`, `(P, H)`.
        errors: targets minus outputs, `t - y`, `(P, M)`.
        weights: the weights from hidden units to outputs, `W_oh`, `(M, H)`.
    """

    inputs: Tensor
    basis: Tensor
    slopes: Tensor
    errors: Tensor
    weights: Tensor

    @property
    def error(self) -> float:
        """The error `E`: the sum of the squared errors over the outputs, averaged over the
        samples."""
        return self.errors.square().sum().item() / len(self.errors)

    @property
    def gradient(self) -> Tensor:
        """The negative gradient of `error` with respect to the hidden weights, `(H, N + 1)`."""
        return 2 / len(self.errors) * self.deltas.T @ self.inputs

    @property
    def output_gradient(self) -> Tensor:
        """The negative gradient of `error` with respect to the output weights, `(M, N + H + 1)`."""
        return 2 / len(self.errors) * self.errors.T @ self.basis

    @property
    def deltas(self) -> Tensor:
        """The errors propagated back to the pre-activations, `f'(n) W_oh^T (t - y)`, `(P, H)`."""
        return self.slopes * (self.errors @ self.weights)

    def hidden_change(self, direction: Tensor) -> Tensor:
        """Return the derivative of each hidden unit's output along a direction of its weights.

        Args:
            direction: a direction `d` of the hidden weights, `(H, N + 1)`.

        Returns:
            `f'(n_k) sum_i d(k, i) x(i)` for each sample and hidden unit `k`, `(P, H)`. Here `x(i)`
            are the entries of `inputs`.
        """
        return self.slopes * (self.inputs @ direction.T)


def forward_pass(network: MLP, x: Tensor, y: Tensor) -> ForwardPass:
    """Run a network on all samples, and return the results and the derivatives of the activation.

    Args:
        network: the network.
        x: inputs of `P` samples with `N` features, `(P, N)`.
        y: targets, `(P, M)` for `M` outputs.
    """
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
    """Return the step length `z` that minimises the squared error along a direction of the weights.

    The function assumes that the outputs `y` are linear in `z`. The minimum is then at
    `z = sum (t - y) dy/dz / sum (dy/dz)^2` for targets `t`, which is one Gauss-Newton step. The
    result is 0 if the outputs do not change along the direction.

    Args:
        errors: targets minus outputs, `t - y`, `(P, M)` for `P` samples and `M` outputs.
        change: derivative of the outputs along the direction, `dy/dz`, `(P, M)`.

    >>> optimal_learning_factor(torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [4.0]]))
    0.5
    """
    curvature = change.square().sum().item()
    return (errors * change).sum().item() / curvature if curvature else 0.0
