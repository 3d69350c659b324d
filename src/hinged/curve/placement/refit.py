"""The least-squares curve on given hinges, for a known distribution of inputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve, check_hinges
from hinged.curve.start_functions import Start, StartFunction, resolve_start, sample

CALL = "hinged.curve.refit"
# Keeps the values of the function where no input lies: there the least-squares fit is undetermined.
_RIDGE = 1e-9
# An error of the interpolant this small, relative to the largest value, is float64 rounding.
_ROUNDING = 1e-14


class Refit(NamedTuple):
    """A curve on given hinges and its difference from the function.

    Attributes:
        curve: the curve, values of shape `(C, K)`, float64.
        loss: expected squared difference from the function, shape `(C,)`, float64.
        error: largest absolute difference at the inputs, shape `(C,)`, float64.
    """

    curve: Curve
    loss: Tensor
    error: Tensor


def refit(
    function: Start | StartFunction,
    hinges: Tensor,
    positions: Tensor,
    shares: Tensor,
    *,
    tails: str = "linear",
    call: str = CALL,
) -> Refit:
    """Return the curve on `hinges` with the least expected squared difference from `function`.

    The values, and the slopes of free tails, solve the normal equations of the hat functions. The
    unknown is the correction to the interpolant, with a ridge of 1e-9 of the largest weight. If the
    interpolant is the function, it therefore stays equal bit for bit. Where no inputs lie, the
    values stay those of the interpolant.

    Args:
        function: a name, a callable on a tensor `(M, C)`, an `nn.Module` or a `Curve`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`. A channel without
            inputs is fitted as if they were evenly distributed.
        tails: as in `Curve`.
        call: the name of the user's call, for error messages.

    Raises:
        ArgumentError: hinges that do not ascend, or shapes that do not match.

    >>> x = torch.linspace(-1, 1, 101)
    >>> refit("abs", torch.tensor([-1.0, 0.0, 1.0]), x, torch.ones(101)).error
    tensor([0.], dtype=torch.float64)
    """
    check_hinges(hinges, f"{call}(hinges=...)")
    function = resolve_start(function, f"{call}(function=...)")
    rows = max(hinges.shape[0] if hinges.dim() == 2 else 1, channels_of(function))
    points, weights = input_distribution(call, positions, shares, rows)
    if hinges.dim() == 2 and hinges.shape[0] not in (1, points.shape[0]):
        got = f"positions for {points.shape[0]} channels with hinges {tuple(hinges.shape)}"
        raise errors.ArgumentError(
            errors.message(f"{call}(hinges=...)", got, "expected as many channels")
        )
    wide = hinges.detach().double().expand(points.shape[0], -1)
    with torch.no_grad():
        start = _interpolant(function, wide, tails)
        columns = _design_matrix(points, wide, tails)
        targets = sample(function, points.T).T
        residual = targets - (columns @ start[..., None]).squeeze(-1)
        rounding = _ROUNDING * targets.abs().amax(dim=1, keepdim=True)
        residual = residual.masked_fill(residual.abs() <= rounding, 0.0)
        change = _least_squares(columns, weights, residual)
        residual = residual - (columns @ change[..., None]).squeeze(-1)
        curve = _as_curve(hinges.detach().double(), start + change, tails)
        loss = (weights * residual.square()).sum(dim=1)
        return Refit(curve, loss, residual.masked_fill(weights == 0, 0.0).abs().amax(dim=1))


def channels_of(function: StartFunction) -> int:
    """Return the number of channels of a curve; 1 for functions that work for any number."""
    return 1 if function.curve is None else function.curve.channels


def check_both_or_neither(call: str, positions: Tensor | None, shares: Tensor | None) -> None:
    """Raise `ArgumentError` unless a distribution has both positions and shares, or neither."""
    if (positions is None) != (shares is None):
        got = "positions without shares" if shares is None else "shares without positions"
        hint = "a distribution is both, or give neither"
        raise errors.ArgumentError(errors.message(f"{call}(positions=...)", got, hint))


def input_distribution(
    call: str, positions: Tensor, shares: Tensor, channels: int = 1
) -> tuple[Tensor, Tensor]:
    """Return points and weights of a distribution of inputs, `(C, P)` each, float64.

    The weights of a channel sum to 1. A channel without inputs gets equal weights.

    Args:
        call: the name of the user's call, for error messages.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`.
        channels: `C`; 1 accepts any number.

    Raises:
        ArgumentError: shapes that do not match each other or `channels`, negative or infinite
            shares, or positions that are not finite.
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


def _interpolant(function: StartFunction, hinges: Tensor, tails: str) -> Tensor:
    """Return the function at the hinges, `(C, K)`; for free tails also the slopes of the secants
    outside, each as wide as its end piece, `(C, K + 2)`."""
    values = sample(function, hinges.T).T
    if tails != "free":
        return values
    ends, widths = hinges[:, [0, -1]], hinges.diff(dim=-1)[:, [0, -1]]
    widths = widths * torch.tensor([-1.0, 1.0], dtype=widths.dtype)
    outside = sample(function, (ends + widths).T).T
    return torch.cat((values, (outside - values[:, [0, -1]]) / widths), dim=1)


def _design_matrix(points: Tensor, hinges: Tensor, tails: str) -> Tensor:
    """Return the weight of each value, and of each slope of free tails, at each point."""
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
