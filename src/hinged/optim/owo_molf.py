"""OWO-MOLF: training with multiple optimal learning factors, one step length per hidden unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

from hinged.optim.backtracking import backtracking_step
from hinged.optim.batches import Rows, mean_over_rows
from hinged.optim.forward_pass import ForwardPass, error_and_gradients, forward_passes
from hinged.optim.least_squares import least_squares, reduce_rows, solve_normal
from hinged.optim.network import MLP
from hinged.optim.owo import owo
from hinged.optim.owo_bp import solve_output_weights


class QuadraticModel(NamedTuple):
    """A quadratic model of the error as a function of the step lengths `z` of the `H` hidden units.

    Attributes:
        hessian: the Gauss-Newton Hessian, `(H, H)`.
        negative_gradient: the negative gradient at `z = 0`, `(H,)`.
    """

    hessian: Tensor
    negative_gradient: Tensor


def owo_molf(
    network: MLP, x: Rows, y: Tensor | None = None, *, whiten: bool = True
) -> Iterator[None]:
    """Return an iterator that trains a network by OWO-MOLF.

    Each `next` call on the iterator trains for one iteration. An iteration has these steps:

    1. The weights of each hidden unit `k` move along a direction (see `whiten`) by a step length
       `z_k`. The step lengths minimise a quadratic model of the error, and are halved until the
       error falls.
    2. The output weights are set to their least-squares solution (`owo`).
    3. Trainable curves take a separate step (`curve_step`), and `owo` is repeated.

    With trainable curves, this is the method AdAct (adaptive activations).

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.
        whiten: if True, the direction is the negative gradient for whitened inputs (see
            `hidden_weight_direction`). If False, the direction is the negative gradient.

    Source: Malalur and Manry, "Multiple optimal learning factors for feed-forward networks" (SPIE
    2010). Trained activations: Rane, Tyagi and Manry, "Optimizing performance of feedforward and
    convolutional neural networks through dynamic activation functions" (arXiv 2308.05724).
    """
    owo(network, x, y)
    while True:
        passes = forward_passes(network, x, y)
        if whiten:
            direction = hidden_weight_direction(passes)
        else:
            direction = error_and_gradients(passes).gradient
        error, *model = mean_over_rows(
            (len(now.errors), (now.error, *learning_factor_model(now, direction))) for now in passes
        )
        factors = solve_normal(*model)
        backtracking_step(network, x, y, error, factors[:, None] * direction)
        solve_output_weights(network, x, y)
        yield


def hidden_weight_direction(passes: Iterable[ForwardPass]) -> Tensor:
    """Return the negative gradient of the error with respect to the hidden weights, for whitened
    inputs, `(H, N + 1)`.

    The result is the solution `D` of `D R = G`. Here `R = X^T X / P` is the correlation of the
    inputs `X` of `P` samples, and `G = 2 deltas^T X / P` is the ordinary negative gradient. The
    deltas are the errors propagated back to the pre-activations. So `D` is twice the least-squares
    regression of the deltas on the inputs.

    Source: Yu, Manry, Li and Narasimha, "An efficient hidden layer training method for the
    multilayer perceptron" (Neurocomputing, 2006).
    """
    return 2 * least_squares(*reduce_rows((now.inputs, now.deltas) for now in passes)).T


def learning_factor_model(now: ForwardPass, direction: Tensor) -> QuadraticModel:
    """Return a quadratic model of the error as a function of the step lengths of the hidden units.

    Let `u_k = f'(n_k) sum_j d(k, j) x(j)` be the derivative of the output of hidden unit `k` along
    the direction `d`, for inputs `x` and pre-activations `n`. `U`, `(P, H)`, contains `u_k` for all
    `P` samples. `W_oh` are the weights from hidden units to outputs. The Hessian is the elementwise
    product `2/P (U^T U) * (W_oh^T W_oh)`. Entry `k` of the negative gradient is
    `2/P sum_p u_k sum_i (t_i - y_i) w_oh(i, k)`. The sums run over the samples `p` and over the
    outputs `i`, with targets `t` and outputs `y`.

    Args:
        now: the result of `forward_pass` with the present weights.
        direction: the direction `d` of the hidden weights, `(H, N + 1)`.
    """
    u = now.hidden_change(direction)
    scale = 2 / len(u)
    h = scale * (u.T @ u) * (now.weights.T @ now.weights)
    return QuadraticModel(h, scale * (u * (now.errors @ now.weights)).sum(dim=0))
