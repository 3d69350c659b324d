"""OWO-MOLF: a learning factor for every hidden unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from hinged.optim.descent import descend
from hinged.optim.forward import Pass, forward
from hinged.optim.least_squares import least_squares, solve_normal
from hinged.optim.network import MLP
from hinged.optim.owo import owo
from hinged.optim.owo_bp import solve_outputs


class Factors(NamedTuple):
    """The quadratic model of the error in the learning factors `z`, one a hidden unit.

    Attributes:
        h: its Gauss-Newton Hessian, `(H, H)`.
        g: its negative gradient at 0, `(H,)`.
    """

    h: Tensor
    g: Tensor


def owo_molf(network: MLP, x: Tensor, y: Tensor, *, whiten: bool = True) -> Iterator[None]:
    """Train a network in place, one iteration each time it is asked to go on.

    Unit `k` moves along its direction by a factor `z_k` of its own; all of them solve `H z = g`,
    and are halved where the error would rise. The output weights are solved for (`owo`). Trained
    curves take their step in between (`curve_step`), which makes it the training of adaptive
    activations (AdAct).

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.
        whiten: move along `hidden_weight_direction` instead of the plain gradient.

    Source: Malalur and Manry, "Multiple optimal learning factors for feed-forward networks" (SPIE
    2010). Trained activations: Rane, Tyagi and Manry, "Optimizing performance of feedforward and
    convolutional neural networks through dynamic activation functions" (arXiv 2308.05724).
    """
    owo(network, x, y)
    while True:
        now = forward(network, x, y)
        direction = hidden_weight_direction(now) if whiten else now.gradient
        h, g = factors(now, direction)
        descend(network, x, y, now, solve_normal(h, g)[:, None] * direction)
        solve_outputs(network, x, y)
        yield


def hidden_weight_direction(now: Pass) -> Tensor:
    """Return the gradient in whitened inputs, `D` `(H, N + 1)` of hidden weight optimisation.

    `D R = G` with `R = X^T X / P`; as `G = 2 deltas^T X / P`, that is the regression of the deltas
    on the inputs. Source: Yu, Manry, Li and Narasimha, "An efficient hidden layer training method
    for the multilayer perceptron" (Neurocomputing, 2006).
    """
    return 2 * least_squares(now.inputs, now.deltas).T


def factors(now: Pass, direction: Tensor) -> Factors:
    """Return Hessian and negative gradient of the error in the learning factors.

    With `u_k = f'(n_k) sum_n d(k, n) x(n)`: `H = 2/P (U^T U) * (W_oh^T W_oh)`, elementwise, and
    `g_k = 2/P sum_p u_k sum_i (t_i - y_i) w_oh(i, k)`.
    """
    u = now.along(direction)
    scale = 2 / len(u)
    h = scale * (u.T @ u) * (now.weights.T @ now.weights)
    return Factors(h, scale * (u * (now.errors @ now.weights)).sum(dim=0))
