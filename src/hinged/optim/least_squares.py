"""Least squares that ignores directions which the data do not determine."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from hinged import errors

TOLERANCE = 1e-6
"""Singular values below this fraction of the largest one count as 0.

As a fraction of squared singular values it is 1e-12. This is the threshold at which the laboratory
that introduced OWO and MOLF ignores a basis function.
"""


def least_squares(a: Tensor, b: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Return the `x` with the smallest norm that minimises `|a x - b|`.

    The method is a singular value decomposition. The columns of `a` are first scaled to equal
    norms, so the units of the columns do not matter. For a column of zeros, for example from a
    hidden unit with output 0 for all samples, the result is 0.

    Args:
        a: matrix of shape `(P, Q)`, float64, on the CPU.
        b: right-hand sides, `(P, M)`.
        tolerance: singular values below this fraction of the largest one count as 0.

    Returns:
        `x`, shape `(Q, M)`.

    Raises:
        ArgumentError: if an entry of `a` or `b` is infinite or NaN.

    >>> a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    >>> least_squares(a, torch.tensor([[1.0], [3.0], [5.0]], dtype=torch.float64)).tolist()
    [[2.0], [0.0]]
    """
    if not (a.isfinite().all() and b.isfinite().all()):
        got = "a least-squares problem with infinite numbers or NaN"
        hint = "the numbers of the training became too large: scale inputs and targets down"
        raise errors.ArgumentError(errors.message("hinged.optim", got, hint))
    lengths = _zeros_to_ones(a.norm(dim=0))
    # The driver "gelsy" (QR with pivoting) is not used. With torch 2.13 it returned a wrong
    # solution in 878 of 2,000 repetitions of one problem (40 rows, 8 columns, rank 6).
    solved: Tensor = torch.linalg.lstsq(a / lengths, b, rcond=tolerance, driver="gelsd").solution
    return solved / lengths[:, None]


def reduce_rows(blocks: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return at most `Q` rows that have the same least-squares solutions as any number of rows.

    Let `A` and `B` be the blocks, one below the other. For the QR decomposition `A = U R`, the
    result is `R` and `U^T B`, since `|A x - B|^2` differs from `|R x - U^T B|^2` by a constant. The
    decomposition is updated block by block: the next one is that of `R` with the rows below it. It
    does not square the condition number, as the sum `A^T A` would.

    Args:
        blocks: rows of a matrix, `(P, Q)`, and of right-hand sides, `(P, M)`. There is at least one
            block. `P` can differ.

    Returns:
        `R`, `(min(P, Q), Q)` for `P` rows in total, and `U^T B`, `(min(P, Q), M)`.

    Source: Golub and Van Loan, "Matrix Computations" (4th edition, 2013), section 6.5.

    >>> a, b = torch.randn(100, 3).double(), torch.randn(100, 2).double()
    >>> r, c = reduce_rows(zip(a.split(7), b.split(7)))
    >>> r.shape, torch.allclose(least_squares(r, c), least_squares(a, b))
    (torch.Size([3, 3]), True)
    """
    rows: tuple[Tensor, Tensor] | None = None
    for block in blocks:
        a, b = block if rows is None else map(torch.cat, zip(rows, block, strict=True))
        size = min(a.shape)
        reflectors, factors = torch.geqrf(a)
        rotated = torch.ormqr(reflectors[:, :size], factors, b, left=True, transpose=True)
        rows = reflectors[:size].triu(), rotated[:size]
    assert rows is not None
    return rows


def rank(a: Tensor) -> int:
    """Return the number of directions that `least_squares` does not ignore.

    The result is 0 if an entry is infinite or NaN, because `least_squares` then has no solution.

    Args:
        a: matrix of shape `(P, Q)`.

    >>> rank(torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]]))
    1
    """
    if not a.isfinite().all():
        return 0
    scaled = a / _zeros_to_ones(a.norm(dim=0))
    return int(torch.linalg.matrix_rank(scaled, rtol=TOLERANCE))


def solve_normal(h: Tensor, g: Tensor) -> Tensor:
    """Return the solution `x` of the normal equations `h x = g`.

    As in `least_squares`, directions in which the singular values are small are ignored.

    Args:
        h: `J^T J` for a matrix `J` with `Q` columns, `(Q, Q)`.
        g: right-hand side, `(Q,)`.

    Returns:
        `x`, shape `(Q,)`.
    """
    lengths = _zeros_to_ones(h.diagonal().clamp(min=0).sqrt())
    scaled = h / lengths / lengths[:, None]
    return least_squares(scaled, (g / lengths)[:, None], TOLERANCE**2)[:, 0] / lengths


def _zeros_to_ones(lengths: Tensor) -> Tensor:
    return torch.where(lengths > 0, lengths, 1.0)
