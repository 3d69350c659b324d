"""Two quadratic programs, solved for all rows of a tensor at once and in float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_STEPS = 40
_CONVERGED = 1e-15
# How much of the longest step is taken: slacks must stay above 0.
_SHY = 0.995


def closest_chain(targets: Tensor, least: Tensor, most: Tensor, low: float, high: float) -> Tensor:
    """Return the closest row `v` with `least[k] <= v[k+1] - v[k] <= most[k]`, `low <= v <= high`.

    Minimises `sum_k (v[k] - targets[k])^2 / 2` exactly, by dynamic programming from left to right.
    The derivative of the cost of the first `k` entries in the last of them ascends in straight
    pieces, so its corners describe it; letting the next entry differ by `least` to `most` moves
    what lies left of its root by the one and what lies right by the other. With `least` 0 and
    no `most` this is isotonic regression, and the moves are the pools of pool-adjacent-violators.

    Args:
        targets: shape `(C, K)`.
        least: smallest differences, at most 0, broadcastable with `(C, K - 1)`.
        most: largest differences, at least 0, broadcastable with `(C, K - 1)`.
        low: lowest entry.
        high: highest entry.

    Returns:
        Rows of shape `(C, K)`.

    >>> wavy = torch.tensor([[3.0, 1.0, 2.0, 5.0]], dtype=torch.float64)
    >>> closest_chain(wavy, torch.zeros(3), torch.full((3,), torch.inf), -torch.inf, torch.inf)
    tensor([[2., 2., 2., 5.]], dtype=torch.float64)
    """
    least, most = (_finite(bound, targets, low, high) for bound in (least, most))
    # At its corners, the derivative less what this entry adds; positions and heights both ascend,
    # so that sorting them apart keeps the pairs.
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


def closest_polyhedral(start: Tensor, basis: Tensor, rows: Tensor, bounds: Tensor) -> Tensor:
    """Return the closest `z = basis w` with `rows z >= bounds`.

    A primal-dual interior-point method with Mehrotra's corrector, one Newton system of the size of
    `w` a step. Source: Nocedal and Wright, "Numerical Optimization" (2006), section 16.6.

    Args:
        start: shape `(C, n)`, of the order of 1.
        basis: what equalities leave free, shape `(n, m)`.
        rows: inequalities, shape `(1, r, n)` or `(C, r, n)`; some `z` must meet all strictly.
        bounds: shape `(C, r)`.

    Returns:
        Rows of shape `(C, n)`, up to some 1e-10 of the closest.
    """
    rows = rows @ basis
    square, pull = basis.T @ basis, start @ basis
    point = torch.linalg.solve(square, pull.T).T
    slack = (_times(rows, point) - bounds).abs() + 1.0
    force = torch.ones_like(slack)
    for _ in range(_STEPS):
        gap = (slack * force).mean(dim=1, keepdim=True)
        newton = _Newton.at(point, slack, force, square, pull, rows, bounds)
        moves = newton.step(slack, force, slack * force)
        reach = torch.minimum(_longest(slack, moves[1]), _longest(force, moves[2]))
        left = ((slack + reach * moves[1]) * (force + reach * moves[2])).mean(dim=1, keepdim=True)
        aim = moves[1] * moves[2] - gap * (left / gap) ** 3
        moves = newton.step(slack, force, slack * force + aim)
        reach = torch.minimum(_longest(slack, moves[1]), _longest(force, moves[2])) * _SHY
        # A row that has converged would divide by 0 at last, and stays as it is.
        goes_on = (gap > _CONVERGED) & moves[0].isfinite().all(dim=1, keepdim=True)
        if not goes_on.any():
            break
        point, slack, force = (
            torch.where(goes_on, held + reach * move, held)
            for held, move in zip((point, slack, force), moves, strict=True)
        )
    closest: Tensor = point @ basis.T
    return closest


class _Newton(NamedTuple):
    """The linear equations of one interior-point step, factored.

    Attributes:
        rows: the inequalities, shape `(1, r, m)` or `(C, r, m)`.
        factor: Cholesky factor of the reduced system, shape `(C, m, m)`.
        stale: how far the point is from stationary, shape `(C, m)`.
        missing: how far the slacks are from those of the point, shape `(C, r)`.
    """

    rows: Tensor
    factor: Tensor
    stale: Tensor
    missing: Tensor

    @classmethod
    def at(
        cls,
        point: Tensor,
        slack: Tensor,
        force: Tensor,
        square: Tensor,
        pull: Tensor,
        rows: Tensor,
        bounds: Tensor,
    ) -> _Newton:
        """Return the equations at a point `(C, m)` with its slacks and forces `(C, r)`."""
        system = square + rows.mT @ ((force / slack).unsqueeze(-1) * rows)
        stale = point @ square - pull - _times(rows.mT, force)
        missing = _times(rows, point) - slack - bounds
        return cls(rows, torch.linalg.cholesky_ex(system).L, stale, missing)

    def step(self, slack: Tensor, force: Tensor, excess: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the moves of point, slacks and forces that cancel the products' `excess`."""
        weight = (force * self.missing + excess) / slack
        right = -self.stale - _times(self.rows.mT, weight)
        move = torch.cholesky_solve(right.unsqueeze(-1), self.factor).squeeze(-1)
        slacken = _times(self.rows, move) + self.missing
        return move, slacken, -(excess + force * slacken) / slack


def _longest(positive: Tensor, move: Tensor) -> Tensor:
    """Return the longest step up to 1, shape `(C, 1)`, that keeps every entry at 0 or more."""
    limit = torch.where(move < 0, -positive / move, torch.inf)
    return limit.amin(dim=1, keepdim=True).clamp(max=1.0)


def _times(matrix: Tensor, rows: Tensor) -> Tensor:
    return (matrix @ rows.unsqueeze(-1)).squeeze(-1)


def _finite(bound: Tensor, targets: Tensor, low: float, high: float) -> Tensor:
    """Return a bound on differences with infinities replaced by what no solution exceeds."""
    inside = targets.clamp(low, high)
    span = inside.amax(dim=1, keepdim=True) - inside.amin(dim=1, keepdim=True) + 1.0
    return torch.minimum(torch.maximum(bound.to(targets), -span), span)


def _interpolate(x: Tensor, corners: Tensor, heights: Tensor, slope: float) -> Tensor:
    """Return at `x` `(C, 1)` the ascending function of these corners `(C, n)`, which goes on with
    one slope at both ends."""
    behind = (corners <= x).sum(dim=1, keepdim=True)
    left, right = (behind - 1).clamp(min=0), behind.clamp(max=corners.shape[1] - 1)
    x0, x1 = corners.gather(1, left), corners.gather(1, right)
    y0, y1 = heights.gather(1, left), heights.gather(1, right)
    inner = (y1 - y0) / (x1 - x0)
    return y0 + (x - x0) * torch.where(left == right, slope, inner)


def _root(corners: Tensor, heights: Tensor, slope: float) -> Tensor:
    return _interpolate(torch.zeros_like(corners[:, :1]), heights, corners, 1 / slope)
