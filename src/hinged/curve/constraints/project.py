"""The closest curve that keeps to a constraint."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.curve.constraints.constraint import (
    Constraint,
    Monotone,
    check_possible,
    computed_in,
    round_up,
    rounded_up,
    satisfied,
)
from hinged.curve.constraints.quadratic import closest_chain, closest_polyhedral
from hinged.curve.curve import Curve


def project(curve: Curve, constraint: Constraint) -> Curve:
    """Return the closest curve, on the same hinges, that keeps to a constraint exactly.

    Minimises the sum of squared differences of the values at the hinges (and of free tails'
    slopes, over one mean piece, where the curve must bend one way), in float64, and rounds so that
    `satisfied` holds without tolerance; that costs some units in the last place of the largest
    value. Channels that keep to it already stay as they are to the last bit, and so do channels
    with NaN or infinity, which nothing can mend.

    Raises:
        ArgumentError: a constraint that leaves only flat curves on these hinges and tails.

    >>> wavy = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[2.0, 1.0, 3.0]]))
    >>> project(wavy, Constraint(monotone="increasing")).values
    tensor([[1.5000, 1.5000, 3.0000]])
    """
    check_possible(constraint, curve)
    with torch.no_grad():
        wrong = ~satisfied(curve, constraint) & curve.values.isfinite().all(dim=-1)
        if curve.tail_slopes is not None:
            wrong &= curve.tail_slopes.isfinite().all(dim=-1)
        (rows,) = wrong.nonzero(as_tuple=True)
        if len(rows) == 0:
            return curve
        parts = _rows(curve, rows)
        solve = _first_order if constraint.convex is None else _bent
        found = solve(parts, constraint)
        values = curve.values.detach().index_copy(0, rows, found.values.to(curve.values.dtype))
        if curve.tail_slopes is None:
            return replace(curve, values=values)
        ends = found.ends.to(curve.tail_slopes.dtype)
        return replace(
            curve, values=values, tail_slopes=curve.tail_slopes.detach().index_copy(0, rows, ends)
        )


class _Rows(NamedTuple):
    """Some channels of a curve in float64.

    Attributes:
        steps: distances of the hinges as evaluation computes them, shape `(1, K - 1)` or
            `(C, K - 1)`.
        values: shape `(C, K)`.
        ends: slopes of free tails `(C, 2)`, or `(C, 0)`.
        tails: as in `Curve`.
        dtype: of the curve's values.
        wide: in which evaluation computes slopes.
    """

    steps: Tensor
    values: Tensor
    ends: Tensor
    tails: str
    dtype: torch.dtype
    wide: torch.dtype

    @property
    def eps(self) -> float:
        """The distance of 1 to the next number of the curve's dtype."""
        return torch.finfo(self.dtype).eps


class _Found(NamedTuple):
    values: Tensor
    ends: Tensor


def _rows(curve: Curve, rows: Tensor) -> _Rows:
    wide = computed_in(curve)
    steps = curve.hinges.to(wide).diff(dim=-1).double()
    ends = curve.values.new_zeros(len(rows), 0)
    if curve.tail_slopes is not None:
        ends = curve.tail_slopes.detach()[rows]
    return _Rows(
        steps[rows] if steps.dim() == 2 and steps.shape[0] > 1 else steps.reshape(1, -1),
        curve.values.detach()[rows].double(),
        ends.double(),
        curve.tails,
        curve.values.dtype,
        wide,
    )


def _first_order(curve: _Rows, asked: Constraint) -> _Found:
    """Return the closest rows under limits of slopes and values: one chain of differences.

    Odd curves lie symmetrically in each such set, so that the closest odd curve comes first.
    """
    values, ends = curve.values, curve.ends
    if asked.odd:
        values, ends = _odd(values), ends.mean(dim=1, keepdim=True).expand_as(ends)
    low, high = _box(asked, curve.dtype)
    # Rounding a value moves it by half an eps of its size; the rest is the quotient's.
    margin = curve.eps * values.clamp(low, high).abs().amax(dim=1, keepdim=True)
    least, most = asked.slopes
    fall = (-least * curve.steps * (1 - 4 * curve.eps) - margin).clamp(min=0)
    rise = (most * curve.steps * (1 - 4 * curve.eps) - margin).clamp(min=0)
    if curve.tails == "linear":
        for end, (steepest_fall, steepest_rise) in zip((0, -1), asked.end_slopes, strict=True):
            fall[:, end] = 0.0 if steepest_fall == 0 else fall[:, end]
            rise[:, end] = 0.0 if steepest_rise == 0 else rise[:, end]
    values = closest_chain(values, -fall, rise, low, high)
    return _Found(_odd(values) if asked.odd else values, _within(ends, asked, curve.dtype))


def _odd(values: Tensor) -> Tensor:
    return (values - values.flip(-1)) / 2


def _box(asked: Constraint, dtype: torch.dtype) -> tuple[float, float]:
    return rounded_up(asked.low, dtype), -rounded_up(-asked.high, dtype)


def _within(ends: Tensor, asked: Constraint, dtype: torch.dtype) -> Tensor:
    """Return slopes of free tails moved within their limits, both numbers of the dtype."""
    if ends.shape[1] == 0:
        return ends
    least, most = torch.tensor(asked.end_slopes, dtype=torch.float64).to(ends.device).unbind(-1)
    return ends.clamp(round_up(least, dtype), -round_up(-most, dtype))


def _bent(curve: _Rows, asked: Constraint) -> _Found:
    """Return the closest rows that bend one way, and keep to the other limits besides."""
    if asked.convex == "concave":
        below = curve._replace(values=-curve.values, ends=-curve.ends)
        found = _bent(below, _upside_down(asked))
        return _Found(-found.values, -found.ends)
    size = curve.values.abs().amax(dim=1, keepdim=True)
    size = size.clamp(min=torch.finfo(curve.dtype).tiny / curve.eps)
    unit = curve.eps * torch.exp2(size.log2().ceil())
    limits = _limits(curve, asked, unit)
    low, _ = _box(asked, curve.dtype)
    values, ends = _closest_convex(curve, limits, low, size)
    values, slopes = _on_grid(values, curve, limits, unit)
    # Beside values this large the dtype has no number for a slope that is allowed, but 0.
    steep = (slopes.abs() > max(asked.slopes[1], -asked.slopes[0])).any(dim=1, keepdim=True)
    values = torch.where(steep, values.mean(dim=1, keepdim=True), values)
    slopes = slopes.masked_fill(steep, 0.0)
    lift = ((low - values.amin(dim=1, keepdim=True)) / unit).ceil().clamp(min=0) * unit
    if ends.shape[1]:
        left, right = ends.unbind(dim=1)
        ends = torch.stack(
            (torch.minimum(left, slopes[:, 0]), torch.maximum(right, slopes[:, -1])), dim=1
        )
        ends = _within(ends, asked, curve.dtype)
        ends = torch.stack(
            (-round_up(-ends[:, 0], curve.dtype), round_up(ends[:, 1], curve.dtype)), dim=1
        )
    return _Found(values + lift, ends)


def _upside_down(asked: Constraint) -> Constraint:
    low, high = asked.slopes
    monotone: Monotone | None = None
    if low == 0:
        monotone = "decreasing"
    elif high == 0:
        monotone = "increasing"
    bounds = None if asked.bounds is None else (-asked.high, -asked.low)
    return replace(asked, monotone=monotone, convex="convex", bounds=bounds)


class _Limits(NamedTuple):
    """Least and greatest slope of the first and the last line of convex curves, each `(C, 1)`."""

    first_least: Tensor
    first_most: Tensor
    last_least: Tensor
    last_most: Tensor


def _limits(curve: _Rows, asked: Constraint, unit: Tensor) -> _Limits:
    """Return the limits, the steepest less what `_on_grid` may add from hinge to hinge."""
    (first_least, first_most), (last_least, last_most) = asked.end_slopes
    added = curve.values.shape[1] * unit / curve.steps.amin(dim=1, keepdim=True)
    steepest = last_most * (1 - 4 * curve.eps) - added if last_most > 0 else 0 * added
    return _Limits(
        torch.full_like(unit, rounded_up(first_least, curve.wide)),
        torch.full_like(unit, first_most),
        torch.full_like(unit, last_least),
        steepest.clamp(min=last_most / 2),
    )


def _closest_convex(
    curve: _Rows, limits: _Limits, low: float, size: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the closest values and end slopes, from a quadratic program in units of `size` and
    of the mean piece."""
    free = curve.ends.shape[1] > 0
    step = curve.steps.mean(dim=1, keepdim=True)
    scale = step / size
    slopes = _slope_rows(curve.steps / step, free)
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
    basis = _basis(start, flat, free)
    found = closest_polyhedral(start, basis, torch.cat(rows, dim=1), torch.cat(bounds, dim=1))
    if not free:
        return found * size, curve.ends
    return found[:, 1:-1] * size, found[:, [0, -1]] / scale


def _slope_rows(steps: Tensor, free: bool) -> Tensor:
    """Return what makes slopes of values, `(1, K - 1, K)` or `(C, K - 1, K)`; with free tails of
    left slope, values and right slope, which are lines of their own."""
    pieces = torch.eye(steps.shape[1] + 1).to(steps).diff(dim=0) / steps.unsqueeze(-1)
    if not free:
        return pieces
    slopes = torch.nn.functional.pad(pieces, (1, 1, 1, 1))
    slopes[:, 0, 0] = slopes[:, -1, -1] = 1.0
    return slopes


def _basis(start: Tensor, flat: list[bool], free: bool) -> Tensor:
    """Return the directions that leave the flat ends flat: a flat tail of its own is 0, and a flat
    end piece has one value at both its hinges."""
    basis = torch.eye(start.shape[1]).to(start)
    if not free:
        basis[0, 1], basis[-1, -2] = float(flat[0]), float(flat[1])
    return basis[:, int(flat[0]) : start.shape[1] - int(flat[1])]


def _on_grid(values: Tensor, curve: _Rows, limits: _Limits, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return values that are whole numbers of `unit`, so that their differences are exact, with
    slopes that never fall as evaluation computes them; and those slopes.

    On even hinges the rounded differences ascend as they are; on others a difference may have to
    be one unit larger to keep up with the slope before it.
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
            jump = jump + (_computed(jump * unit, step, curve.wide) < slope)
        slope = _computed(jump * unit, step, curve.wide)
        jumps.append(jump)
    heights = torch.cat((torch.zeros_like(unit), *jumps), dim=1).cumsum(dim=1) * unit
    shift = ((values - heights).mean(dim=1, keepdim=True) / unit).round() * unit
    return heights + shift, _computed(heights.diff(dim=1), curve.steps, curve.wide)


def _computed(difference: Tensor, step: Tensor, wide: torch.dtype) -> Tensor:
    """Return a slope as evaluation computes it, as float64."""
    return (difference.to(wide) / step.to(wide)).double()
