"""The least-squares curve on given hinges, for inputs distributed in a known way."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve, check_hinges
from hinged.curve.start_functions import Start, resolve, sample

# Where no input lies the values are those of the function, not whatever the rounding says.
_RIDGE = 1e-9
# A miss of the interpolant this small, relative to the largest value, is rounding in float64.
_ROUNDING = 1e-14


class Refit(NamedTuple):
    """A curve on given hinges and how far it is from the function.

    Attributes:
        curve: the curve, values of shape `(C, K)`, float64.
        loss: expected squared difference to the function, shape `(C,)`, float64.
        error: largest absolute difference wherever inputs lie, shape `(C,)`, float64.
    """

    curve: Curve
    loss: Tensor
    error: Tensor


def refit(
    function: Start, hinges: Tensor, positions: Tensor, shares: Tensor, *, tails: str = "linear"
) -> Refit:
    """Return the curve on `hinges` with the least expected squared difference to `function`.

    The values, and the slopes of free tails, solve the normal equations of the hat functions.
    They are sought as a correction of the interpolant, with a ridge of 1e-9 of the largest weight
    on it: where the interpolant is the function it is kept to the last bit, and where no inputs
    lie it stays.

    Args:
        function: a name, a callable on a tensor `(M, C)`, an `nn.Module` or a `Curve`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`; a channel without any
            is fitted as if they lay evenly.
        tails: as in `Curve`.

    Raises:
        ArgumentError: hinges that do not ascend, or shapes that do not fit each other.

    >>> x = torch.linspace(-1, 1, 101)
    >>> refit("abs", torch.tensor([-1.0, 0.0, 1.0]), x, torch.ones(101)).error
    tensor([0.], dtype=torch.float64)
    """
    call = "hinged.curve.refit"
    check_hinges(hinges, f"{call}(hinges=...)")
    rows = max(hinges.shape[0] if hinges.dim() == 2 else 1, channels_of(function))
    points, weights = distribution(call, positions, shares, rows)
    if hinges.dim() == 2 and hinges.shape[0] not in (1, points.shape[0]):
        got = f"positions for {points.shape[0]} channels with hinges {tuple(hinges.shape)}"
        raise errors.ArgumentError(errors.message(call, got, "expected as many channels"))
    wide = hinges.detach().double().expand(points.shape[0], -1)
    with torch.no_grad():
        start = _interpolant(function, wide, tails)
        columns = _columns(points, wide, tails)
        targets = sample(resolve(function), points.T).T
        miss = targets - (columns @ start[..., None]).squeeze(-1)
        rounding = _ROUNDING * targets.abs().amax(dim=1, keepdim=True)
        miss = miss.masked_fill(miss.abs() <= rounding, 0.0)
        change = _least_squares(columns, weights, miss)
        miss = miss - (columns @ change[..., None]).squeeze(-1)
        curve = _as_curve(hinges.detach().double(), start + change, tails)
        loss = (weights * miss.square()).sum(dim=1)
        return Refit(curve, loss, miss.masked_fill(weights == 0, 0.0).abs().amax(dim=1))


def channels_of(function: Start) -> int:
    """Return how many channels a function is known to have; 1 where it fits any number."""
    return function.channels if isinstance(function, Curve) else 1


def check_both(call: str, positions: Tensor | None, shares: Tensor | None) -> None:
    """Raise `ArgumentError` where a distribution of inputs is half given."""
    if (positions is None) != (shares is None):
        got = f"positions {'without' if shares is None else 'missing for'} shares"
        hint = "a distribution is both, or give neither"
        raise errors.ArgumentError(errors.message(f"{call}(positions=...)", got, hint))


def distribution(
    call: str, positions: Tensor, shares: Tensor, channels: int = 1
) -> tuple[Tensor, Tensor]:
    """Return points and weights of a distribution as `(C, P)` each, float64.

    Weights sum to 1; a channel without any inputs gets the same everywhere.

    Raises:
        ArgumentError: shapes that do not fit each other or `channels`, negative or infinite
            shares, positions that are not finite.
    """
    points, weights = (torch.atleast_2d(t.detach()).double() for t in (positions, shares))
    counts = {points.shape[0], weights.shape[0], channels} - {1}
    if points.shape[1] != weights.shape[1] or len(counts) > 1 or points.shape[1] == 0:
        got = f"positions {tuple(positions.shape)} with shares {tuple(shares.shape)}"
        expected = "(C, P)" if channels == 1 else f"({channels}, P)"
        hint = f"expected (P,) or {expected} for both"
        raise errors.ArgumentError(errors.message(f"{call}(shares=...)", got, hint))
    if not (points.isfinite().all() and weights.isfinite().all() and (weights >= 0).all()):
        hint = "expected finite positions and shares of 0 or more"
        raise errors.ArgumentError(
            errors.message(f"{call}(shares=...)", "negative or infinite numbers", hint)
        )
    count = max(counts, default=1)
    weights = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, torch.ones_like(weights))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return points.expand(count, -1), weights.expand(count, -1)


def _interpolant(function: Start, hinges: Tensor, tails: str) -> Tensor:
    """Return the function at the hinges and, for free tails, its secant's slope one end piece's
    width outside, `(C, K)` or `(C, K + 2)`."""
    values = sample(resolve(function), hinges.T).T
    if tails != "free":
        return values
    ends, widths = hinges[:, [0, -1]], hinges.diff(dim=-1)[:, [0, -1]]
    widths = widths * torch.tensor([-1.0, 1.0], dtype=widths.dtype)
    outside = sample(resolve(function), (ends + widths).T).T
    return torch.cat((values, (outside - values[:, [0, -1]]) / widths), dim=1)


def _columns(points: Tensor, hinges: Tensor, tails: str) -> Tensor:
    """Return how much each value, and each slope of free tails, counts at each point."""
    right = torch.searchsorted(hinges.contiguous(), points.contiguous(), right=True)
    right = right.clamp(1, hinges.shape[1] - 1)
    low, high = hinges.gather(1, right - 1), hinges.gather(1, right)
    t = (points - low) / (high - low)
    t = t if tails == "linear" else t.clamp(0, 1)
    columns = points.new_zeros(*points.shape, hinges.shape[1])
    columns.scatter_(2, (right - 1)[..., None], (1 - t)[..., None])
    columns.scatter_(2, right[..., None], t[..., None])
    if tails != "free":
        return columns
    left_of = (points - hinges[:, :1]).clamp(max=0)
    right_of = (points - hinges[:, -1:]).clamp(min=0)
    return torch.cat((columns, left_of[..., None], right_of[..., None]), dim=-1)


def _least_squares(columns: Tensor, weights: Tensor, target: Tensor) -> Tensor:
    weighted = columns * weights[..., None]
    normal = weighted.mT @ columns
    ridge = _RIDGE * normal.diagonal(dim1=1, dim2=2).amax(dim=1)
    normal = normal + torch.diag_embed(ridge[:, None].expand(-1, columns.shape[2]))
    solution: Tensor = torch.linalg.solve(normal, weighted.mT @ target[..., None])
    return solution.squeeze(-1)


def _as_curve(hinges: Tensor, unknowns: Tensor, tails: str) -> Curve:
    if tails != "free":
        return Curve(hinges, unknowns, tails)
    return Curve(hinges, unknowns[:, :-2], tails, unknowns[:, -2:])
