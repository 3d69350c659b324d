"""Training of all weights of a network by the Levenberg-Marquardt method."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hinged.optim.batches import Rows, mean_over_rows
from hinged.optim.curve_step import curve_step, has_trainable_curves
from hinged.optim.forward_pass import ForwardPass, forward_passes
from hinged.optim.mean_error import mean_error
from hinged.optim.network import MLP

_INITIAL_DAMPING = 1e-3
_MIN_DAMPING, _MAX_DAMPING = 1e-12, 1e12


def levenberg_marquardt(network: MLP, x: Rows, y: Tensor | None = None) -> Iterator[None]:
    """Return an iterator that trains a network by the Levenberg-Marquardt method.

    Each `next` call on the iterator trains for one iteration. An iteration solves
    `(J^T J + lambda h I) e = J^T (t - y)` for a step `e` of all weights. Here `J` is the Jacobian
    of the outputs with respect to all weights, `I` is the identity matrix, `t - y` are targets
    minus outputs, and `h` is the mean of the diagonal of `J^T J`. The damping `lambda` is
    multiplied by 10 until the step lowers the error, and is then divided by 10. Trainable curves
    then take a separate step (`curve_step`).

    Args:
        network: the network, changed in place.
        x: inputs of `P` samples with `N` features, `(P, N)`, or batches as in `fit`.
        y: targets, `(P, M)` for `M` outputs; None if `x` are batches.

    Source: Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm" (IEEE
    Transactions on Neural Networks, 1994).
    """
    damping = _INITIAL_DAMPING
    while True:
        damping = _damped_step(network, x, y, damping)
        if has_trainable_curves(network):
            curve_step(network, x, y)
        yield


def normal_equations(now: ForwardPass) -> tuple[Tensor, Tensor]:
    """Return the matrix `J^T J / P`, `(Q, Q)`, and the vector `J^T (t - y) / P`, `(Q,)`.

    Here `J` is the Jacobian of the outputs of `P` samples with respect to all `Q` weights, and
    `t - y` are targets minus outputs. The order of the weights is: hidden weights, then output
    weights, both row by row. `J` itself is not stored, because it has `P M` rows. Its entries for
    one sample are:

    - The derivative of output `i` with respect to the weight from feature `j` to hidden unit `k` is
      `w_oh(i, k) v(k, j)`. Here `w_oh` are the weights from hidden units to outputs, and
      `v(k, j) = f'(n_k) x(j)`, with pre-activations `n` and features `x`.
    - The derivative of output `i` with respect to one of its output weights is the number that this
      weight multiplies. The derivatives with respect to the weights of other outputs are 0.
    """
    units, outputs = now.weights.shape[1], now.weights.shape[0]
    v = (now.slopes[:, :, None] * now.inputs[:, None, :]).flatten(1)
    width = now.inputs.shape[1]
    spread = (now.weights.T @ now.weights).repeat_interleave(width, 0).repeat_interleave(width, 1)
    hidden = (v.T @ v) * spread
    cross = (v.T @ now.basis).view(units, width, 1, -1) * now.weights.T[:, None, :, None]
    cross = cross.reshape(hidden.shape[0], -1)
    output = torch.block_diag(*[now.basis.T @ now.basis] * outputs)
    h = torch.cat((torch.cat((hidden, cross), 1), torch.cat((cross.T, output), 1)))
    gradients = (now.gradient.flatten(), now.output_gradient.flatten())
    return h.div_(len(now.errors)), torch.cat(gradients) / 2


def _damped_step(network: MLP, x: Rows, y: Tensor | None, damping: float) -> float:
    """Take a step that lowers the error, and return the damping for the next step.

    If no damping below the maximum lowers the error, the network does not change, and the initial
    damping is returned.
    """
    error, h, g = mean_over_rows(
        (len(now.errors), (now.error, *normal_equations(now)))
        for now in forward_passes(network, x, y)
    )
    mean = h.diagonal().mean()
    while damping < _MAX_DAMPING:
        factor, fault = torch.linalg.cholesky_ex(
            h + damping * mean * torch.eye(len(h), dtype=h.dtype)
        )
        if not fault:
            step = _split(network, torch.cholesky_solve(g[:, None], factor)[:, 0])
            network.add_to_weights(*step)
            if mean_error(network, x, y) < error:
                return max(damping / 10, _MIN_DAMPING)
            network.add_to_weights(*(-part for part in step))
        damping *= 10
    return _INITIAL_DAMPING


def _split(network: MLP, step: Tensor) -> tuple[Tensor, Tensor]:
    """Split a step of all weights into its hidden part `(H, N + 1)` and its output part
    `(M, N + H + 1)`."""
    units, width = network.hidden.out_features, network.hidden.in_features + 1
    hidden, output = step.split((units * width, len(step) - units * width))
    return hidden.view(units, width), output.view(network.output.out_features, -1)
