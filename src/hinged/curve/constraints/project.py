"""`project`: the closest curve that satisfies a constraint."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.curve.constraints.constraint import (
    Constraint,
    Monotone,
    check_possible,
    evaluation_dtype,
    round_up,
    rounded_up,
    satisfies,
)
from hinged.curve.constraints.quadratic_programs import (
    closest_with_inequalities,
    closest_with_limited_differences,
)
from hinged.curve.curve import Curve

CALL = "hinged.curve.project"


def project(curve: Curve, constraint: Constraint) -> Curve:
    """Return the closest curve on the same hinges that satisfies a constraint exactly.

    It minimises the sum of squared differences of the values at the hinges, in float64. For convex
    and concave curves the sum includes the slopes of free tails, multiplied by the mean width of
    the pieces. The result is rounded so that `satisfies` is true without a tolerance, which changes
    it by a few units in the last place of the largest value. Channels that satisfy the constraint
    already do not change at all, and neither do channels with NaN or infinity.

    Raises:
        ArgumentError: only flat curves on these hinges and tails satisfy the constraint.

    >>> wavy = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[2.0, 1.0, 3.0]]))
    >>> project(wavy, Constraint(monotone="increasing")).values
    tensor([[1.5000, 1.5000, 3.0000]])
    """
    check_possible(constraint, curve, CALL)
    with torch.no_grad():
        wrong = ~satisfies(curve, constraint) & curve.values.isfinite().all(dim=-1)
        if curve.tail_slopes is not None:
            wrong &= curve.tail_slopes.isfinite().all(dim=-1)
        (rows,) = wrong.nonzero(as_tuple=True)
        if len(rows) == 0:
            return curve
        channels = _select_channels(curve, rows)
        solve = _project_slopes_and_values if constraint.convex is None else _project_convex
        found = solve(channels, constraint)
        values = curve.values.detach().index_copy(0, rows, found.values.to(curve.values.dtype))
        if curve.tail_slopes is None:
            return replace(curve, values=values)
        ends = found.ends.to(curve.tail_slopes.dtype)
        return replace(
            curve, values=values, tail_slopes=curve.tail_slopes.detach().index_copy(0, rows, ends)
        )


class _Channels(NamedTuple):
    """Some channels of a curve in float64.

    Attributes:
        steps: distances of the hinges as evaluation computes them, shape `(1, K - 1)` or
            `(C, K - 1)`.
        values: shape `(C, K)`.
        ends: slopes of free tails `(C, 2)`, or `(C, 0)`.
        tails: as in `Curve`.
        dtype: the dtype of the curve's values.
        wide: the dtype in which evaluation computes slopes.
    """

    steps: Tensor
    values: Tensor
    ends: Tensor
    tails: str
    dtype: torch.dtype
    wide: torch.dtype

    @property
    def eps(self) -> float:
        """The distance from 1 to the next number of the curve's dtype."""
        return torch.finfo(self.dtype).eps


class _Projection(NamedTuple):
    """Projected values `(C, K)` and slopes of free tails `(C, 2)`."""

    values: Tensor
    ends: Tensor


def _select_channels(curve: Curve, rows: Tensor) -> _Channels:
    wide = evaluation_dtype(curve)
    steps = curve.hinges.to(wide).diff(dim=-1).double()
    ends = curve.values.new_zeros(len(rows), 0)
    if curve.tail_slopes is not None:
        ends = curve.tail_slopes.detach()[rows]
    return _Channels(
        steps[rows] if steps.dim() == 2 and steps.shape[0] > 1 else steps.reshape(1, -1),
        curve.values.detach()[rows].double(),
        ends.double(),
        curve.tails,
        curve.values.dtype,
        wide,
    )


def _project_slopes_and_values(curve: _Channels, constraint: Constraint) -> _Projection:
    """Return the closest rows with limited slopes and values: a chain of limited differences.

    For an odd constraint the closest odd curve comes first. The limits are symmetric then, so the
    second projection keeps the curve odd.
    """
    values, ends = curve.values, curve.ends
    if constraint.odd:
        values, ends = _make_odd(values), ends.mean(dim=1, keepdim=True).expand_as(ends)
    low, high = _rounded_bounds(constraint, curve.dtype)
    # Rounding moves a value by half an eps of its size; the other half is for the quotient.
    margin = curve.eps * values.clamp(low, high).abs().amax(dim=1, keepdim=True)
    least, most = constraint.slopes
    fall = (-least * curve.steps * (1 - 4 * curve.eps) - margin).clamp(min=0)
    rise = (most * curve.steps * (1 - 4 * curve.eps) - margin).clamp(min=0)
    if curve.tails == "linear":
        for end, (steepest_fall, steepest_rise) in zip((0, -1), constraint.end_slopes, strict=True):
            fall[:, end] = 0.0 if steepest_fall == 0 else fall[:, end]
            rise[:, end] = 0.0 if steepest_rise == 0 else rise[:, end]
    values = closest_with_limited_differences(values, -fall, rise, low, high)
    return _Projection(
        _make_odd(values) if constraint.odd else values,
        _clamp_tail_slopes(ends, constraint, curve.dtype),
    )


def _make_odd(values: Tensor) -> Tensor:
    return (values - values.flip(-1)) / 2


def _rounded_bounds(constraint: Constraint, dtype: torch.dtype) -> tuple[float, float]:
    return rounded_up(constraint.low, dtype), -rounded_up(-constraint.high, dtype)


def _clamp_tail_slopes(ends: Tensor, constraint: Constraint, dtype: torch.dtype) -> Tensor:
    """Return slopes of free tails clamped to their limits, which are rounded to the dtype."""
    if ends.shape[1] == 0:
        return ends
    least, most = (
        torch.tensor(constraint.end_slopes, dtype=torch.float64).to(ends.device).unbind(-1)
    )
    return ends.clamp(round_up(least, dtype), -round_up(-most, dtype))


def _project_convex(curve: _Channels, constraint: Constraint) -> _Projection:
    """Return the closest rows that are convex or concave and satisfy the other limits."""
    if constraint.convex == "concave":
        below = curve._replace(values=-curve.values, ends=-curve.ends)
        found = _project_convex(below, _mirrored(constraint))
        return _Projection(-found.values, -found.ends)
    size = curve.values.abs().amax(dim=1, keepdim=True)
    size = size.clamp(min=torch.finfo(curve.dtype).tiny / curve.eps)
    unit = curve.eps * torch.exp2(size.log2().ceil())
    limits = _limits(curve, constraint, unit)
    low, _ = _rounded_bounds(constraint, curve.dtype)
    values, ends = _closest_convex(curve, limits, low, size)
    values, slopes = _round_to_convex(values, curve, limits, unit)
    # With values this large, 0 is the only allowed slope that the dtype can represent.
    steep = (slopes.abs() > max(constraint.slopes[1], -constraint.slopes[0])).any(
        dim=1, keepdim=True
    )
    values = torch.where(steep, values.mean(dim=1, keepdim=True), values)
    slopes = slopes.masked_fill(steep, 0.0)
    lift = ((low - values.amin(dim=1, keepdim=True)) / unit).ceil().clamp(min=0) * unit
    if ends.shape[1]:
        left, right = ends.unbind(dim=1)
        ends = torch.stack(
            (torch.minimum(left, slopes[:, 0]), torch.maximum(right, slopes[:, -1])), dim=1
        )
        ends = _clamp_tail_slopes(ends, constraint, curve.dtype)
        ends = torch.stack(
            (-round_up(-ends[:, 0], curve.dtype), round_up(ends[:, 1], curve.dtype)), dim=1
        )
    return _Projection(values + lift, ends)


def _mirrored(constraint: Constraint) -> Constraint:
    low, high = constraint.slopes
    monotone: Monotone | None = None
    if low == 0:
        monotone = "decreasing"
    elif high == 0:
        monotone = "increasing"
    bounds = None if constraint.bounds is None else (-constraint.high, -constraint.low)
    return replace(constraint, monotone=monotone, convex="convex", bounds=bounds)


class _Limits(NamedTuple):
    """Least and greatest slope of the first and the last line of convex curves, `(C, 1)` each."""

    first_least: Tensor
    first_most: Tensor
    last_least: Tensor
    last_most: Tensor


def _limits(curve: _Channels, constraint: Constraint, unit: Tensor) -> _Limits:
    """Return the limits. The greatest slope leaves room for what `_round_to_convex` may add."""
    (first_least, first_most), (last_least, last_most) = constraint.end_slopes
    added = curve.values.shape[1] * unit / curve.steps.amin(dim=1, keepdim=True)
    steepest = last_most * (1 - 4 * curve.eps) - added if last_most > 0 else 0 * added
    return _Limits(
        torch.full_like(unit, rounded_up(first_least, curve.wide)),
        torch.full_like(unit, first_most),
        torch.full_like(unit, last_least),
        steepest.clamp(min=last_most / 2),
    )


def _closest_convex(
    curve: _Channels, limits: _Limits, low: float, size: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the closest values and end slopes. The units of the quadratic program are `size` and
    the mean width of a piece."""
    free = curve.ends.shape[1] > 0
    step = curve.steps.mean(dim=1, keepdim=True)
    scale = step / size
    slopes = _slope_matrix(curve.steps / step, free)
    rows, bounds = [slopes.diff(dim=1)], [slopes.new_zeros(len(size), slopes.shape[1] - 1)]
    flat = []
    for line, least, most in ((0, *limits[:2]), (-1, *limits[2:])):
        flat.append(bool((least == most).all()))
        for sign, limit in ((1.0, least), (-1.0, -most)):
            if not flat[-1] and limit.isfinite().all():
                rows.append(sign * slopes[:, line, None])
                bounds.append(limit * scale)
    if low > -torch.inf:
        every = torch.eye(slopes.shape[-1]).to(slopes)[None]
        heights = every[:, 1:-1] if free else every
        rows.append(heights.expand(len(slopes), -1, -1))
        bounds.append((low / size).expand(-1, heights.shape[1]))
    left, right = curve.ends[:, :1] * scale, curve.ends[:, 1:] * scale
    start = torch.cat((left, curve.values / size, right), dim=1)
    basis = _free_directions(start, flat, free)
    found = closest_with_inequalities(
        start, basis, torch.cat(rows, dim=1), torch.cat(bounds, dim=1)
    )
    if not free:
        return found * size, curve.ends
    return found[:, 1:-1] * size, found[:, [0, -1]] / scale


def _slope_matrix(steps: Tensor, free: bool) -> Tensor:
    """Return the matrix from values to slopes, `(1, K - 1, K)` or `(C, K - 1, K)`.

    With free tails its columns are left slope, values and right slope, and its rows include the
    tails.
    """
    pieces = torch.eye(steps.shape[1] + 1).to(steps).diff(dim=0) / steps.unsqueeze(-1)
    if not free:
        return pieces
    slopes = torch.nn.functional.pad(pieces, (1, 1, 1, 1))
    slopes[:, 0, 0] = slopes[:, -1, -1] = 1.0
    return slopes


def _free_directions(start: Tensor, flat: list[bool], free: bool) -> Tensor:
    """Return the directions that keep flat ends flat: the slope of a free tail stays 0, and both
    hinges of an end piece keep equal values."""
    basis = torch.eye(start.shape[1]).to(start)
    if not free:
        basis[0, 1], basis[-1, -2] = float(flat[0]), float(flat[1])
    return basis[:, int(flat[0]) : start.shape[1] - int(flat[1])]


def _round_to_convex(
    values: Tensor, curve: _Channels, limits: _Limits, unit: Tensor
) -> tuple[Tensor, Tensor]:
    """Return values that are multiples of `unit`, and their slopes, which never fall.

    The slopes are those that evaluation computes. Differences of multiples of `unit` are exact. On
    even hinges the rounded differences ascend without further change. On others a difference may
    have to be one unit larger, so that the slope does not fall.
    """
    slopes = (values.diff(dim=1) / curve.steps).clamp(limits.first_least, limits.last_most)
    if curve.tails == "linear":
        slopes[:, :1] = torch.minimum(slopes[:, :1], limits.first_most)
    slopes = slopes.cummax(dim=1).values
    if curve.tails == "linear":
        slopes[:, -1:] = torch.maximum(slopes[:, -1:], limits.last_least)
    slope, jumps = limits.first_least, []
    for k in range(slopes.shape[1]):
        step = curve.steps[:, k, None]
        jump = torch.maximum(
            (slopes[:, k, None] * step / unit).round(), (slope * step / unit).floor()
        )
        for _ in range(2):
            jump = jump + (_evaluation_slope(jump * unit, step, curve.wide) < slope)
        slope = _evaluation_slope(jump * unit, step, curve.wide)
        jumps.append(jump)
    heights = torch.cat((torch.zeros_like(unit), *jumps), dim=1).cumsum(dim=1) * unit
    shift = ((values - heights).mean(dim=1, keepdim=True) / unit).round() * unit
    return heights + shift, _evaluation_slope(heights.diff(dim=1), curve.steps, curve.wide)


def _evaluation_slope(difference: Tensor, step: Tensor, wide: torch.dtype) -> Tensor:
    """Return slopes, computed as evaluation does, as float64."""
    return (difference.to(wide) / step.to(wide)).double()
