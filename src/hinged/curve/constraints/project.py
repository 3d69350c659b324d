"""The function `project`, which returns the closest curve that satisfies a constraint."""

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
    """Return the closest curve with the same hinges that satisfies a constraint.

    The closest curve has the least sum of squared differences of the values at the hinges. If the
    curve must be convex or concave and has free tails, the sum also includes the squared
    differences of the tail slopes, multiplied by the mean distance of the hinges. The solution is
    computed in float64.

    The result is rounded so that `satisfies` returns True without a tolerance. Rounding changes a
    value by a few units in the last place of the largest value. A channel stays unchanged if it
    satisfies the constraint already, or if it contains NaN or infinity.

    Args:
        curve: the curve of `C` channels; `project` does not change it.
        constraint: the limits that the result satisfies.

    Returns:
        A `Curve` with the hinges, the kind of tails and the dtype of `curve`. If every channel
        stays unchanged, the result is `curve` itself.

    Raises:
        ArgumentError: if no curve with these hinges and tails satisfies the constraint, or if only
            constant curves do.

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
    """The channels of a curve that must be projected, in float64.

    Attributes:
        steps: distances between neighbouring hinges, shape `(1, K - 1)` or `(C, K - 1)`. They are
            rounded to the dtype `wide`.
        values: outputs at the hinges, shape `(C, K)`.
        ends: slopes of the left and the right tail, shape `(C, 2)` for free tails; `(C, 0)`
            otherwise.
        tails: kind of tails: `"linear"`, `"constant"` or `"free"`.
        dtype: dtype of the values of the curve before the conversion to float64.
        wide: dtype in which the evaluation of the curve computes slopes.
    """

    steps: Tensor
    values: Tensor
    ends: Tensor
    tails: str
    dtype: torch.dtype
    wide: torch.dtype

    @property
    def eps(self) -> float:
        """The difference between 1 and the next larger number in the dtype of the curve."""
        return torch.finfo(self.dtype).eps


class _Projection(NamedTuple):
    """The result of a projection in float64.

    Attributes:
        values: projected values, shape `(C, K)`.
        ends: projected slopes of free tails, shape `(C, 2)`; `(C, 0)` for other tails.
    """

    values: Tensor
    ends: Tensor


def _select_channels(curve: Curve, rows: Tensor) -> _Channels:
    """Return the channels with the indices `rows`, in float64."""
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
    """Return the closest channels that satisfy limits on slopes and values, without convexity.

    The limits bound the difference between neighbouring values. For an odd constraint, the values
    are first replaced by the closest odd values. The limits are then symmetric, so the second
    projection keeps the values odd.
    """
    values, ends = curve.values, curve.ends
    if constraint.odd:
        values, ends = _make_odd(values), ends.mean(dim=1, keepdim=True).expand_as(ends)
    low, high = _rounded_bounds(constraint, curve.dtype)
    # Rounding changes a value by at most half of eps times its size. The other half of the margin
    # allows for the rounding of the slope.
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
    """Return the closest values with `v[k] = -v[K - 1 - k]`, for `K` hinges."""
    return (values - values.flip(-1)) / 2


def _rounded_bounds(constraint: Constraint, dtype: torch.dtype) -> tuple[float, float]:
    """Return the bounds on the outputs, rounded inwards to numbers of the dtype."""
    return rounded_up(constraint.low, dtype), -rounded_up(-constraint.high, dtype)


def _clamp_tail_slopes(ends: Tensor, constraint: Constraint, dtype: torch.dtype) -> Tensor:
    """Return the slopes of free tails, clamped to the limits rounded inwards to the dtype."""
    if ends.shape[1] == 0:
        return ends
    least, most = (
        torch.tensor(constraint.end_slopes, dtype=torch.float64).to(ends.device).unbind(-1)
    )
    return ends.clamp(round_up(least, dtype), -round_up(-most, dtype))


def _project_convex(curve: _Channels, constraint: Constraint) -> _Projection:
    """Return the closest channels that are convex or concave and satisfy the other limits."""
    if constraint.convex == "concave":
        below = curve._replace(values=-curve.values, ends=-curve.ends)
        found = _project_convex(below, _mirrored(constraint))
        return _Projection(-found.values, -found.ends)
    low, _ = _rounded_bounds(constraint, curve.dtype)
    # Values below the bound are raised to it, and rounded as numbers of its size.
    sizes = torch.maximum(curve.values.abs(), curve.values.clamp(min=low).abs())
    size = sizes.amax(dim=1, keepdim=True).clamp(min=torch.finfo(curve.dtype).tiny / curve.eps)
    unit = curve.eps * torch.exp2(size.log2().ceil())
    limits = _limits(curve, constraint, unit)
    values, ends = _closest_convex(curve, limits, low, size)
    values, slopes = _round_to_convex(values, curve, limits, unit)
    # For values this large, the dtype can represent no allowed slope except 0.
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
    """Return the constraint that `-f` satisfies if `f` satisfies the given concave constraint."""
    low, high = constraint.slopes
    monotone: Monotone | None = None
    if low == 0:
        monotone = "decreasing"
    elif high == 0:
        monotone = "increasing"
    bounds = None if constraint.bounds is None else (-constraint.high, -constraint.low)
    return replace(constraint, monotone=monotone, convex="convex", bounds=bounds)


class _Limits(NamedTuple):
    """The lowest and highest slope of the first and the last line of convex channels.

    For free tails, the first and the last line are the tails. Otherwise they are the first and the
    last piece.

    Attributes:
        first_least: lowest slope of the first line, shape `(C, 1)`.
        first_most: highest slope of the first line, shape `(C, 1)`.
        last_least: lowest slope of the last line, shape `(C, 1)`.
        last_most: highest slope of the last line, shape `(C, 1)`.
    """

    first_least: Tensor
    first_most: Tensor
    last_least: Tensor
    last_most: Tensor


def _limits(curve: _Channels, constraint: Constraint, unit: Tensor) -> _Limits:
    """Return the limits on the slopes of the first and the last line.

    The highest slope is reduced, because `_round_to_convex` may increase slopes.

    Args:
        curve: the channels.
        constraint: the limits that the user gave.
        unit: the values are rounded to multiples of this number, shape `(C, 1)`.
    """
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
    """Return the closest convex values `(C, K)` and tail slopes, which are not yet rounded.

    The quadratic program works with values divided by `size` and with positions divided by the mean
    distance of the hinges.

    Args:
        curve: the channels.
        limits: limits on the slopes of the first and the last line.
        low: lowest output allowed.
        size: largest absolute value of each channel, shape `(C, 1)`.
    """
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
    """Return the matrix that maps the values of a curve to the slopes of its pieces.

    Its shape is `(1, K - 1, K)` or `(C, K - 1, K)`. For free tails, the matrix has two more columns
    and two more rows, for the slopes of the left and the right tail.

    Args:
        steps: distances between neighbouring hinges, shape `(1, K - 1)` or `(C, K - 1)`.
        free: whether the tails are free.
    """
    pieces = torch.eye(steps.shape[1] + 1).to(steps).diff(dim=0) / steps.unsqueeze(-1)
    if not free:
        return pieces
    slopes = torch.nn.functional.pad(pieces, (1, 1, 1, 1))
    slopes[:, 0, 0] = slopes[:, -1, -1] = 1.0
    return slopes


def _free_directions(start: Tensor, flat: list[bool], free: bool) -> Tensor:
    """Return the directions in which the quadratic program may change values and tail slopes.

    The directions keep a first or last line of slope 0 flat. If a free tail must be flat, its slope
    stays 0. If the first or last piece must be flat, the values at its two hinges stay equal.

    Args:
        start: values, and slopes of free tails, shape `(C, n)`.
        flat: whether the first line and whether the last line must be flat.
        free: whether the tails are free.

    Returns:
        A matrix with one column per direction, shape `(n, m)`.
    """
    basis = torch.eye(start.shape[1]).to(start)
    if not free:
        basis[0, 1], basis[-1, -2] = float(flat[0]), float(flat[1])
    return basis[:, int(flat[0]) : start.shape[1] - int(flat[1])]


def _round_to_convex(
    values: Tensor, curve: _Channels, limits: _Limits, unit: Tensor
) -> tuple[Tensor, Tensor]:
    """Return values that are multiples of `unit`, and their slopes, which never fall.

    The slopes are computed as in the evaluation of the curve. Differences of multiples of `unit`
    are exact. If the hinges are evenly spaced, the rounded differences of neighbouring values
    ascend. Otherwise a difference is increased if the slope would fall.
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
    """Return the slopes of pieces as the evaluation of the curve computes them, as float64."""
    return (difference.to(wide) / step.to(wide)).double()
