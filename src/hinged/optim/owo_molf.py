"""OWO-MOLF: training with multiple optimal learning factors, one for each hidden unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.forward_pass import ForwardPass, forward_pass
from hinged.optim.least_squares import least_squares, solve_normal
from hinged.optim.network import MLP
from hinged.optim.owo import owo
from hinged.optim.owo_bp import solve_output_weights


class QuadraticModel(NamedTuple):
    """A quadratic model of the error in the learning factors `z` of the hidden units.

    Attributes:
        hessian: the Gauss-Newton Hessian, `(H, H)`.
        negative_gradient: the negative gradient at `z = 0`, `(H,)`.
    """

    hessian: Tensor
    negative_gradient: Tensor


def owo_molf(network: MLP, x: Tensor, y: Tensor, *, whiten: bool = True) -> Iterator[None]:
    """Train a network in place, with one iteration per item of the iterator.

    The weights of hidden unit `k` move along their direction by a factor `z_k`. The factors solve
    `H z = g`, and are halved until the error falls. Then the output weights are solved for (`owo`).
    Trainable curves then take their own step (`curve_step`), followed by another `owo`; this is the
    training of adaptive activations (AdAct).

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
        whiten: move along `hidden_weight_direction` instead of the gradient.

    Source: Malalur and Manry, "Multiple optimal learning factors for feed-forward networks" (SPIE
    2010). Trained activations: Rane, Tyagi and Manry, "Optimizing performance of feedforward and
    convolutional neural networks through dynamic activation functions" (arXiv 2308.05724).
    """
    owo(network, x, y)
    while True:
        now = forward_pass(network, x, y)
        direction = hidden_weight_direction(now) if whiten else now.gradient
        factors = solve_normal(*learning_factor_model(now, direction))
        backtracking_step(network, x, y, now, factors[:, None] * direction)
        solve_output_weights(network, x, y)
        yield


def hidden_weight_direction(now: ForwardPass) -> Tensor:
    """Return the gradient for whitened inputs, the direction `D` `(H, N + 1)` of hidden weight
    optimisation.

    `D R = G` with `R = X^T X / P`. Since `G = 2 deltas^T X / P`, `D` is twice the regression of the
    deltas on the inputs. Source: Yu, Manry, Li and Narasimha, "An efficient hidden layer training
    method for the multilayer perceptron" (Neurocomputing, 2006).
    """
    return 2 * least_squares(now.inputs, now.deltas).T


def learning_factor_model(now: ForwardPass, direction: Tensor) -> QuadraticModel:
    """Return the Hessian and the negative gradient of the error in the learning factors.

    With `u_k = f'(n_k) sum_n d(k, n) x(n)`: `H = 2/P (U^T U) * (W_oh^T W_oh)`, elementwise, and
    `g_k = 2/P sum_p u_k sum_i (t_i - y_i) w_oh(i, k)`.
    """
    u = now.hidden_change(direction)
    scale = 2 / len(u)
    h = scale * (u.T @ u) * (now.weights.T @ now.weights)
    return QuadraticModel(h, scale * (u * (now.errors @ now.weights)).sum(dim=0))
