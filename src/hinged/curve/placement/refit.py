"""The function `refit`, which fits the values of a curve for a known distribution of inputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve, check_hinges
from hinged.curve.start_functions import Start, StartFunction, resolve_start, sample

CALL = "hinged.curve.refit"
# The ridge keeps the values of the function where no input lies, because the least-squares fit does
# not determine these values.
_RIDGE = 1e-9
# Errors of the interpolant up to this fraction of the largest value count as rounding of float64.
_ROUNDING = 1e-14


class Refit(NamedTuple):
    """A fitted curve and its difference from the function that it approximates.

    Attributes:
        curve: the fitted `Curve`, with values of shape `(C, K)`, float64.
        loss: expected squared difference between curve and function, shape `(C,)`, float64.
        error: largest absolute difference at the input values, shape `(C,)`, float64.
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
    """Fit the values of a curve on given hinges so that the expected squared error is least.

    The error is the difference from `function`, and the distribution of inputs is given by
    `positions` and `shares`. The values are found by linear least squares. The unknowns are
    corrections to the interpolant, which is the curve that equals the function at the hinges. If
    the interpolant equals the function, the corrections are exactly 0. A small ridge penalty on the
    corrections keeps the values of the interpolant where no inputs lie.

    Args:
        function: name of a start function such as `"relu"`, a Python function that maps a tensor
            `(M, C)`, with `M` inputs for each channel, to a tensor of the same shape, an
            `nn.Module`, or a `Curve`.
        hinges: ascending input positions, shape `(K,)` or `(C, K)`.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs. Only ratios matter. If all weights of a channel are 0, its input values get
            equal weights.
        tails: outputs outside the range: `"linear"` (the first and last piece continue),
            `"constant"` (the first and last value continue) or `"free"` (slopes that are fitted
            too).
        call: name of the function that the user called, for error messages.

    Returns:
        A `Refit` object with the fitted curve, its expected squared error and its largest error.

    Raises:
        ArgumentError: if the hinges do not ascend, or if the shapes of `hinges`, `positions` and
            `shares` do not match.

    >>> x = torch.linspace(-1, 1, 101)
    >>> refit("abs", torch.tensor([-1.0, 0.0, 1.0]), x, torch.ones(101)).error
    tensor([0.], dtype=torch.float64)
    """
    check_hinges(hinges, f"{call}(hinges=...)")
    function = resolve_start(function, f"{call}(function=...)")
    rows = max(hinges.shape[0] if hinges.dim() == 2 else 1, channels_of(function))
    points, weights = input_distribution(call, positions, shares, rows)
    if hinges.dim() == 2 and hinges.shape[0] not in (1, points.shape[0]):
        got = f"inputs for {points.shape[0]} channels with hinges of shape {tuple(hinges.shape)}"
        hint = f"expected hinges (K,) or ({points.shape[0]}, K), for K hinges per channel"
        raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", got, hint))
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
    """Return the number of channels of the function; 1 if it works for any number of channels."""
    return 1 if function.curve is None else function.curve.channels


def check_both_or_neither(call: str, positions: Tensor | None, shares: Tensor | None) -> None:
    """Raise `ArgumentError` if only one of `positions` and `shares` is None.

    Args:
        call: name of the function that the user called, for the error message.
        positions: input values of a distribution, or None.
        shares: weight of each input value, or None.
    """
    if (positions is None) != (shares is None):
        got = "positions, but no shares" if shares is None else "shares, but no positions"
        hint = "give both (the distribution of the inputs) or neither"
        raise errors.ArgumentError(errors.message(f"{call}(positions=...)", got, hint))


def input_distribution(
    call: str, positions: Tensor, shares: Tensor, channels: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the input values and the weights of a distribution of inputs, as float64.

    Args:
        call: name of the function that the user called, for error messages.
        positions: input values, shape `(P,)` or `(C, P)`.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs.
        channels: expected number of channels `C`; 1 accepts any number.

    Returns:
        Two tensors of shape `(C, P)`: the input values, and weights that sum to 1 for each channel.
        If all weights of a channel are 0, its input values get equal weights.

    Raises:
        ArgumentError: if the shapes do not match each other or `channels`, if a weight is negative
            or infinite, or if an input value is not finite.
    """
    points, weights = (torch.atleast_2d(t.detach()).double() for t in (positions, shares))
    counts = {points.shape[0], weights.shape[0], channels} - {1}
    if points.shape[1] != weights.shape[1] or len(counts) > 1 or points.shape[1] == 0:
        got = f"positions {tuple(positions.shape)} with shares {tuple(shares.shape)}"
        expected = "(C, P)" if channels == 1 else f"({channels}, P)"
        hint = f"expected (P,) or {expected} for both, for P input values and C channels"
        raise errors.ArgumentError(errors.message(f"{call}(shares=...)", got, hint))
    if not (points.isfinite().all() and weights.isfinite().all() and (weights >= 0).all()):
        hint = "expected finite positions and shares of 0 or more"
        raise errors.ArgumentError(
            errors.message(f"{call}(shares=...)", "negative shares, infinite numbers or NaN", hint)
        )
    count = max(counts, default=1)
    weights = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, torch.ones_like(weights))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return points.expand(count, -1), weights.expand(count, -1)


def _interpolant(function: StartFunction, hinges: Tensor, tails: str) -> Tensor:
    """Return the outputs of the function at the hinges, shape `(C, K)`.

    For free tails, the slopes of the function just outside the range follow in two more columns, so
    the shape is `(C, K + 2)`. Each slope is measured from the first or last hinge to a point
    outside the range, at a distance equal to the width of the first or last piece.
    """
    values = sample(function, hinges.T).T
    if tails != "free":
        return values
    ends, widths = hinges[:, [0, -1]], hinges.diff(dim=-1)[:, [0, -1]]
    widths = widths * torch.tensor([-1.0, 1.0], dtype=widths.dtype)
    outside = sample(function, (ends + widths).T).T
    return torch.cat((values, (outside - values[:, [0, -1]]) / widths), dim=1)


def _design_matrix(points: Tensor, hinges: Tensor, tails: str) -> Tensor:
    """Return the matrix that maps the values of a curve to its outputs at the points, `(C, P, K)`.

    For free tails, two more columns belong to the slopes of the left and the right tail, so the
    shape is `(C, P, K + 2)`.
    """
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
    """Return the coefficients of a weighted least-squares fit with a small ridge penalty.

    Args:
        columns: design matrix, shape `(C, P, Q)` for `Q` coefficients.
        weights: weight of each point, shape `(C, P)`.
        target: wanted outputs, shape `(C, P)`.
    """
    weighted = columns * weights[..., None]
    normal = weighted.mT @ columns
    ridge = _RIDGE * normal.diagonal(dim1=1, dim2=2).amax(dim=1)
    normal = normal + torch.diag_embed(ridge[:, None].expand(-1, columns.shape[2]))
    solution: Tensor = torch.linalg.solve(normal, weighted.mT @ target[..., None])
    return solution.squeeze(-1)


def _as_curve(hinges: Tensor, unknowns: Tensor, tails: str) -> Curve:
    """Return the curve with the fitted values and, for free tails, the fitted slopes."""
    if tails != "free":
        return Curve(hinges, unknowns, tails)
    return Curve(hinges, unknowns[:, :-2], tails, unknowns[:, -2:])
