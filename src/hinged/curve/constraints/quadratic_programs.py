"""Solvers of quadratic programs. Each solver treats every row of a tensor as one program."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_MOST_STEPS = 40
_CONVERGED_GAP = 1e-15
# Fraction of the longest possible step that is taken, so that the slacks stay above 0.
_STEP_SHARE = 0.995

_LONGEST_TABLE = 64
"""Largest number of entries of a row for which the means of all its parts are computed."""

_MEANS_AT_A_TIME = 2**20
"""Number of means that are computed together, so that many rows need no more memory than few."""


def closest_with_limited_differences(
    targets: Tensor, least: Tensor, most: Tensor, low: float, high: float
) -> Tensor:
    """Return the closest rows whose entries and differences lie within limits.

    For each row of targets `t`, the result is the row `v` with the least
    `sum_k (v[k] - t[k])^2 / 2`. The row satisfies `least[k] <= v[k+1] - v[k] <= most[k]` and
    `low <= v[k] <= high`. If `least` is 0 and `most` is infinite, this is isotonic regression.

    The solution is exact except for rounding. The method is dynamic programming from left to right:
    let `f_k(v)` be the least cost of the first `k` entries if entry `k` equals `v`. The derivative
    of `f_k` is ascending and piecewise linear, so its corners describe it. The next entry may
    differ by `least[k]` to `most[k]`. Corners left of the root of the derivative therefore move by
    `least[k]`, and corners right of the root move by `most[k]`.

    Args:
        targets: the rows to approximate, shape `(C, K)`.
        least: lowest differences, at most 0, broadcastable with `(C, K - 1)`.
        most: highest differences, at least 0, broadcastable with `(C, K - 1)`.
        low: lowest value of an entry.
        high: highest value of an entry.

    Returns:
        A tensor of shape `(C, K)`.

    >>> wavy = torch.tensor([[3.0, 1.0, 2.0, 5.0]], dtype=torch.float64)
    >>> limits = torch.zeros(3), torch.full((3,), torch.inf), -torch.inf, torch.inf
    >>> closest_with_limited_differences(wavy, *limits)
    tensor([[2., 2., 2., 5.]], dtype=torch.float64)
    """
    if targets.shape[1] <= _LONGEST_TABLE:
        if (least == 0).all() and most.isposinf().all():
            return _isotonic_regression(targets).clamp(low, high)
        if (most == 0).all() and least.isneginf().all():
            return -_isotonic_regression(-targets).clamp(-high, -low)
    least, most = (_finite_limits(bound, targets, low, high) for bound in (least, most))
    # Positions and heights of the corners of the derivative. The next target is not yet included.
    # Positions and heights both ascend, so sorting them separately keeps the pairs together.
    corners, heights = targets[:, :1], torch.zeros_like(targets[:, :1])
    roots = [targets[:, :1].clamp(low, high)]
    for k in range(1, targets.shape[1]):
        root, down, up = roots[-1], least[:, k - 1, None], most[:, k - 1, None]
        slope = _interpolate(root, corners, heights, float(k))
        left = corners <= root
        heights = torch.where(left, heights.clamp(max=0), heights.clamp(min=0))
        corners = torch.where(left, corners + down, corners + up)
        flat = torch.zeros_like(root)
        corners = torch.cat((corners, root + down, root + down, root + up, root + up), dim=1)
        heights = torch.cat((heights, slope.clamp(max=0), flat, flat, slope.clamp(min=0)), dim=1)
        corners, heights = corners.sort(dim=1).values, heights.sort(dim=1).values
        heights = heights + corners - targets[:, k, None]
        roots.append(_root(corners, heights, float(k + 1)).clamp(low, high))
    chain = roots[-1:]
    for k in range(targets.shape[1] - 2, -1, -1):
        following = chain[-1]
        chain.append(roots[k].clamp(following - most[:, k, None], following - least[:, k, None]))
    return torch.cat(chain[::-1], dim=1)


def _isotonic_regression(targets: Tensor) -> Tensor:
    """Return the closest ascending rows, shape `(C, K)`."""
    rows = max(1, _MEANS_AT_A_TIME // targets.shape[1] ** 2)
    return torch.cat([_largest_least_means(part) for part in targets.split(rows)])


def _largest_least_means(targets: Tensor) -> Tensor:
    """Return the closest ascending rows, shape `(C, K)`, by a formula.

    Entry `m` is the largest, over all `i <= m`, of the least mean of the targets from `i` to `j`,
    over all `j >= m`. These entries ascend in spite of rounding.

    Source: Robertson, Wright and Dykstra, "Order Restricted Statistical Inference" (1988), theorem
    1.4.4.
    """
    count = targets.shape[1]
    sums = nn.functional.pad(targets.cumsum(dim=1), (1, 0))
    places = torch.arange(count, device=targets.device)
    length = places + 1 - places[:, None]  # From `i`, along the rows, to `j`.
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / length.clamp(min=1)
    means = means.masked_fill(length < 1, torch.inf)
    means.diagonal(dim1=1, dim2=2).copy_(targets)  # Without the rounding of the sums.
    least = means.flip(2).cummin(dim=2).values.flip(2)
    return least.masked_fill(length < 1, -torch.inf).amax(dim=1)


def closest_with_inequalities(start: Tensor, basis: Tensor, rows: Tensor, bounds: Tensor) -> Tensor:
    """Return the closest vectors to `start` that satisfy linear inequalities.

    The vectors have the form `z = basis w` with free coefficients `w`, and they satisfy
    `rows z >= bounds`. The solver is a primal-dual interior-point method with Mehrotra's corrector.
    Each step solves `m` linear equations for the change of `w`.

    Source: Nocedal and Wright, "Numerical Optimization" (2006), section 16.6.

    Args:
        start: vectors to approximate, shape `(C, n)`. Their entries should have a size of about 1.
        basis: matrix whose columns are the directions in which `z` may vary, shape `(n, m)`.
        rows: coefficients of the `r` inequalities, shape `(1, r, n)` or `(C, r, n)`. Some vector
            must satisfy all inequalities strictly.
        bounds: lower bounds of the inequalities, shape `(C, r)`.

    Returns:
        A tensor of shape `(C, n)`, with an error of about 1e-10.
    """
    rows = rows @ basis
    square, pull = basis.T @ basis, start @ basis
    point = torch.linalg.solve(square, pull.T).T
    slack = (_multiply(rows, point) - bounds).abs() + 1.0
    multiplier = torch.ones_like(slack)
    for _ in range(_MOST_STEPS):
        gap = (slack * multiplier).mean(dim=1, keepdim=True)
        newton = _Newton.at(point, slack, multiplier, square, pull, rows, bounds)
        moves = newton.step(slack, multiplier, slack * multiplier)
        reach = torch.minimum(_longest_step(slack, moves[1]), _longest_step(multiplier, moves[2]))
        left = ((slack + reach * moves[1]) * (multiplier + reach * moves[2])).mean(
            dim=1, keepdim=True
        )
        aim = moves[1] * moves[2] - gap * (left / gap) ** 3
        moves = newton.step(slack, multiplier, slack * multiplier + aim)
        reach = torch.minimum(_longest_step(slack, moves[1]), _longest_step(multiplier, moves[2]))
        reach = reach * _STEP_SHARE
        # A row that has converged is not changed any more, because its step would divide by 0.
        active = (gap > _CONVERGED_GAP) & moves[0].isfinite().all(dim=1, keepdim=True)
        if not active.any():
            break
        point, slack, multiplier = (
            torch.where(active, current + reach * move, current)
            for current, move in zip((point, slack, multiplier), moves, strict=True)
        )
    closest: Tensor = point @ basis.T
    return closest


class _Newton(NamedTuple):
    """The factored linear equations of one step of the interior-point method.

    Attributes:
        rows: coefficients of the `r` inequalities, shape `(1, r, m)` or `(C, r, m)`.
        factor: Cholesky factor of the reduced system, shape `(C, m, m)`.
        dual_residual: gradient of the Lagrangian, shape `(C, m)`.
        primal_residual: slacks computed from the point minus the current slacks, shape `(C, r)`.
    """

    rows: Tensor
    factor: Tensor
    dual_residual: Tensor
    primal_residual: Tensor

    @classmethod
    def at(
        cls,
        point: Tensor,
        slack: Tensor,
        multiplier: Tensor,
        square: Tensor,
        pull: Tensor,
        rows: Tensor,
        bounds: Tensor,
    ) -> _Newton:
        """Return the equations at a point.

        Args:
            point: coefficients of the present solution, shape `(C, m)`.
            slack: slacks of the inequalities, shape `(C, r)`.
            multiplier: multipliers of the inequalities, shape `(C, r)`.
            square: `basis^T basis`, shape `(m, m)`.
            pull: `start basis`, shape `(C, m)`.
            rows: coefficients of the inequalities, shape `(1, r, m)` or `(C, r, m)`.
            bounds: lower bounds of the inequalities, shape `(C, r)`.
        """
        system = square + rows.mT @ ((multiplier / slack).unsqueeze(-1) * rows)
        dual_residual = point @ square - pull - _multiply(rows.mT, multiplier)
        primal_residual = _multiply(rows, point) - slack - bounds
        return cls(rows, torch.linalg.cholesky_ex(system).L, dual_residual, primal_residual)

    def step(
        self, slack: Tensor, multiplier: Tensor, excess: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the changes of the point, the slacks and the multipliers in one Newton step.

        Args:
            slack: slacks of the inequalities, shape `(C, r)`.
            multiplier: multipliers of the inequalities, shape `(C, r)`.
            excess: amount that the step removes from the products of slacks and multipliers, shape
                `(C, r)`.
        """
        weight = (multiplier * self.primal_residual + excess) / slack
        right = -self.dual_residual - _multiply(self.rows.mT, weight)
        move = torch.cholesky_solve(right.unsqueeze(-1), self.factor).squeeze(-1)
        slack_step = _multiply(self.rows, move) + self.primal_residual
        return move, slack_step, -(excess + multiplier * slack_step) / slack


def _longest_step(positive: Tensor, move: Tensor) -> Tensor:
    """Return the largest `z <= 1` with `positive + z move >= 0` in all entries, shape `(C, 1)`."""
    limit = torch.where(move < 0, -positive / move, torch.inf)
    return limit.amin(dim=1, keepdim=True).clamp(max=1.0)


def _multiply(matrix: Tensor, rows: Tensor) -> Tensor:
    """Return the products of matrices `(1 or C, a, b)` and vectors `(C, b)`, shape `(C, a)`."""
    return (matrix @ rows.unsqueeze(-1)).squeeze(-1)


def _finite_limits(bound: Tensor, targets: Tensor, low: float, high: float) -> Tensor:
    """Return `bound` with each infinity replaced by a finite limit that no solution exceeds.

    The other arguments are those of `closest_with_limited_differences`.
    """
    inside = targets.clamp(low, high)
    span = inside.amax(dim=1, keepdim=True) - inside.amin(dim=1, keepdim=True) + 1.0
    return torch.minimum(torch.maximum(bound.to(targets), -span), span)


def _interpolate(x: Tensor, corners: Tensor, heights: Tensor, slope: float) -> Tensor:
    """Return the outputs at `x` of an ascending piecewise-linear function.

    Args:
        x: one input per row, shape `(C, 1)`.
        corners: ascending input positions of the corners, shape `(C, n)`.
        heights: outputs at the corners, shape `(C, n)`.
        slope: slope left of the first and right of the last corner.
    """
    count = (corners <= x).sum(dim=1, keepdim=True)
    left, right = (count - 1).clamp(min=0), count.clamp(max=corners.shape[1] - 1)
    x0, x1 = corners.gather(1, left), corners.gather(1, right)
    y0, y1 = heights.gather(1, left), heights.gather(1, right)
    inner = (y1 - y0) / (x1 - x0)
    return y0 + (x - x0) * torch.where(left == right, slope, inner)


def _root(corners: Tensor, heights: Tensor, slope: float) -> Tensor:
    """Return the input at which an ascending piecewise-linear function is 0, shape `(C, 1)`.

    The arguments are those of `_interpolate`.
    """
    return _interpolate(torch.zeros_like(corners[:, :1]), heights, corners, 1 / slope)
