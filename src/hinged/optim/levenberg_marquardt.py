"""Levenberg-Marquardt: all weights at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hinged.optim.curve_step import curve_step, trains_curves
from hinged.optim.forward import Pass, forward
from hinged.optim.network import MLP

_FIRST = 1e-3
_LEAST, _MOST = 1e-12, 1e12


def levenberg_marquardt(network: MLP, x: Tensor, y: Tensor) -> Iterator[None]:
    """Train a network in place, one iteration each time it is asked to go on.

    Solves `(H + lambda h I) e = g` for all weights, with `h` the mean of the diagonal of `H`;
    `lambda` falls tenfold after a step that lowers the error, and rises tenfold until one does.
    Trained curves take their step after it (`curve_step`).

    Args:
        network: changed in place.
        x: patterns, `(P, N)`.
        y: targets, `(P, M)`.

    Source: Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm" (IEEE
    Transactions on Neural Networks, 1994).
    """
    damping = _FIRST
    while True:
        damping = _damped_step(network, x, y, damping)
        if trains_curves(network):
            curve_step(network, x, y)
        yield


def normal_equations(now: Pass) -> tuple[Tensor, Tensor]:
    """Return `J^T J` and `J^T (t - y)` over all weights, the hidden ones first, row by row.

    The Jacobian `(P M, Q)` is never made. With `v(k, n) = f'(n_k) x(n)`, a hidden weight changes
    output `i` by `w_oh(i, k) v(k, n)`, and an output weight only its own output, by its basis
    function; so every block is a product of features, times a product of output weights.
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
    return h, len(now.errors) / 2 * torch.cat(gradients)


def _damped_step(network: MLP, x: Tensor, y: Tensor, damping: float) -> float:
    """Take the step, if there is a damping with which it lowers the error; return the next."""
    now = forward(network, x, y)
    h, g = normal_equations(now)
    mean = h.diagonal().mean()
    while damping < _MOST:
        factor, fault = torch.linalg.cholesky_ex(
            h + damping * mean * torch.eye(len(h), dtype=h.dtype)
        )
        if not fault:
            step = _split(network, torch.cholesky_solve(g[:, None], factor)[:, 0])
            network.move(*step)
            if forward(network, x, y).error < now.error:
                return max(damping / 10, _LEAST)
            network.move(*(-part for part in step))
        damping *= 10
    return _FIRST


def _split(network: MLP, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden `(H, N + 1)` and the output part `(M, N + H + 1)` of a step."""
    units, width = network.hidden.out_features, network.hidden.in_features + 1
    hidden, output = step.split((units * width, len(step) - units * width))
    return hidden.view(units, width), output.view(network.output.out_features, -1)
