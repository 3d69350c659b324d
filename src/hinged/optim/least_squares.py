"""Least squares with a tolerance for directions that the data do not determine."""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-6
"""Singular values below this share of the largest are treated as 0. It is a share of 1e-12 of the
energy, the threshold at which the laboratory that the methods come from drops a basis function."""


def least_squares(a: Tensor, b: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Return the smallest `x` that minimises `|a x - b|`, by singular value decomposition.

    Columns are first scaled to the same length, so that units of measurement do not matter. A
    column of zeros, as of a dead unit, gets zeros.

    Args:
        a: `(P, Q)` float64, on the CPU.
        b: `(P, M)`.
        tolerance: singular values below this share of the largest are treated as 0.

    >>> a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    >>> least_squares(a, torch.tensor([[1.0], [3.0], [5.0]], dtype=torch.float64)).tolist()
    [[2.0], [0.0]]
    """
    lengths = _zeros_to_ones(a.norm(dim=0))
    # Not "gelsy" (QR with pivoting): it gave a wrong solution for one problem of 40 rows and 8
    # columns of rank 6 in 878 of 2,000 repetitions, as if its pivots were not initialised (torch
    # 2.13).
    solved: Tensor = torch.linalg.lstsq(a / lengths, b, rcond=tolerance, driver="gelsd").solution
    return solved / lengths[:, None]


def solve_normal(h: Tensor, g: Tensor) -> Tensor:
    """Solve the normal equations `h x = g`, with `h = J^T J` `(Q, Q)`, for `x` `(Q,)`.

    Directions in which `J` is small are left out, as in `least_squares`.
    """
    lengths = _zeros_to_ones(h.diagonal().clamp(min=0).sqrt())
    scaled = h / lengths / lengths[:, None]
    return least_squares(scaled, (g / lengths)[:, None], TOLERANCE**2)[:, 0] / lengths


def _zeros_to_ones(lengths: Tensor) -> Tensor:
    return torch.where(lengths > 0, lengths, 1.0)
