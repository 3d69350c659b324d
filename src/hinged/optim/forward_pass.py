"""The forward pass of all samples through a network, and its derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.optim.batches import BATCH_ROWS, Rows, batches, mean_over_rows
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
    nets = network.hidden(x).detach().requires_grad_()
    hidden = network.activation(nets)
    (slopes,) = torch.autograd.grad(hidden.sum(), nets)
    hidden = hidden.detach()
    with torch.no_grad():
        errors = y - (network.output(hidden) + network.bypass(x))
    return ForwardPass(
        inputs=with_ones(x),
        basis=with_ones(x, hidden),
        slopes=slopes,
        errors=errors,
        weights=network.output.weight.detach(),
    )


def with_ones(*functions: Tensor) -> Tensor:
    """Return functions of the samples side by side, with a one for the bias.

    >>> with_ones(torch.tensor([[2.0], [3.0]])).tolist()
    [[2.0, 1.0], [3.0, 1.0]]
    """
    ones = functions[0].new_ones(len(functions[0]), 1)
    return torch.cat((*functions, ones), dim=1)


def forward_passes(network: MLP, x: Rows, y: Tensor | None) -> Iterable[ForwardPass]:
    """Return the forward passes of all batches of rows, which can be iterated repeatedly.

    Tensors of at most `BATCH_ROWS` rows are passed through the network once, and the result is
    kept. In every other case, each iteration passes all rows through the network, as it is then,
    and only one batch is in memory at a time.

    Args:
        network: the network.
        x: inputs of all rows, `(P, N)`, or batches as in `fit`.
        y: targets of all rows, `(P, M)`; None if `x` are batches.
    """
    passes = _ForwardPasses(network, x, y)
    return list(passes) if isinstance(x, Tensor) and len(x) <= BATCH_ROWS else passes


@dataclass
class _ForwardPasses:
    """The forward passes of all batches, computed anew in each iteration."""

    network: MLP
    x: Rows
    y: Tensor | None

    def __iter__(self) -> Iterator[ForwardPass]:
        for inputs, targets in batches(self.network, self.x, self.y):
            yield forward_pass(self.network, inputs, targets)


class ErrorAndGradients(NamedTuple):
    """The error of a network and its negative gradients over all rows.

    Attributes:
        error: the sum of the squared errors over the outputs, averaged over the rows.
        gradient: the negative gradient with respect to the hidden weights, `(H, N + 1)`.
        output_gradient: that with respect to the output weights, `(M, N + H + 1)`.
    """

    error: float
    gradient: Tensor
    output_gradient: Tensor


def error_and_gradients(passes: Iterable[ForwardPass]) -> ErrorAndGradients:
    """Return the error and its negative gradients over all rows."""
    return ErrorAndGradients(
        *mean_over_rows(
            (len(now.errors), (now.error, now.gradient, now.output_gradient)) for now in passes
        )
    )


def optimal_learning_factor(descent: float, changes: Iterable[Tensor]) -> float:
    """Return the step length `z` that minimises the error along a direction of the weights.

    The function assumes that the outputs `y` are linear in `z`. The error `E` (see
    `ForwardPass.error`) is then a parabola, with the minimum at `z = -E' / E''`, which is one
    Gauss-Newton step. Here `E'` is `dE/dz` at `z = 0`, and `E''` is twice the sum of `(dy/dz)^2`
    over the outputs, averaged over the samples. The result is 0 if the outputs do not change along
    the direction.

    Args:
        descent: `-E'`, the inner product of the direction and the negative gradient.
        changes: for each batch, the derivative `dy/dz` of the outputs, `(P, M)`.

    >>> optimal_learning_factor(10.0, [torch.tensor([[2.0], [4.0]])])
    0.5
    """
    (square,) = mean_over_rows(
        (len(change), [change.square().sum().item() / len(change)]) for change in changes
    )
    return descent / (2 * square) if square else 0.0
