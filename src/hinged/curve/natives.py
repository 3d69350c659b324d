"""Which of torch's own activations a curve is, or nearly is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.functions import NAMED, sample

# Simplest first: a curve that is several of them within the tolerance is called by the first name.
_FIXED = ("zero", "identity", "relu", "relu6", "hardtanh", "abs")
_ROUNDINGS = 8


class Native(NamedTuple):
    """A native activation that serves every channel of a curve.

    Attributes:
        name: `"zero"`, `"identity"`, `"relu"`, `"relu6"`, `"hardtanh"`, `"abs"`, `"leaky_relu"` or,
            with a slope for each channel, `"prelu"`.
        slopes: slope left of 0 where the function is `x` right of it, shape `(C,)`, NaN for the
            others. All are the same but for `"prelu"`.
        error: largest absolute difference over the range, shape `(C,)`, float64.
    """

    name: str
    slopes: Tensor
    error: Tensor


def recognise(curve: Curve, tolerance: float, *, reach: float = 0.0) -> Native | None:
    """Return the native activation that all channels of a curve are within `tolerance`, or None.

    A leaky ReLU's slope, one for all channels or else one for each, is the middle of all slopes
    that keep the bound; one is found if there is one. A few units in the last place of the largest
    value are added to the tolerance, so that 0 means the same but for rounding.

    Args:
        curve: the curve.
        tolerance: largest absolute difference over the range, in units of the values.
        reach: how far beyond the range the bound holds too, in widths of the range.

    Raises:
        ArgumentError: a negative tolerance or reach.

    >>> x = torch.tensor([-2.0, -1.0, 0.0, 1.0])
    >>> found = recognise(Curve(x, torch.tensor([[-0.5, -0.25, 0.0, 1.0]])), 1e-6)
    >>> found.name, found.slopes
    ('leaky_relu', tensor([0.2500], dtype=torch.float64))
    """
    if not tolerance >= 0:
        call = "hinged.curve.recognise(tolerance=...)"
        raise errors.ArgumentError(errors.sentence(call, repr(tolerance), "expected 0 or more"))
    with torch.no_grad():
        points, heights = _where_it_bends(curve, reach)
        largest = curve.values.double().abs().amax(dim=1)
        allowed = tolerance + _ROUNDINGS * torch.finfo(curve.values.dtype).eps * largest
        for name in _FIXED:
            error = _error(name, points, heights)
            if (error <= allowed).all():
                return Native(name, _slopes_of(name, curve.channels), error)
        return _with_slope(points, heights, allowed)


def native_distances(curve: Curve, *, reach: float = 0.0) -> dict[str, Tensor]:
    """Return how far each channel is from each native activation, `(C,)` each, float64.

    The largest absolute difference over the range; for `"leaky_relu"` that of the slope with the
    least. `torch.stack(list(...)).amin(0)` is the distance from the nearest.

    >>> abs_curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    >>> {name: error.item() for name, error in native_distances(abs_curve).items() if error < 1}
    {'abs': 0.0, 'leaky_relu': 0.0}
    """
    with torch.no_grad():
        points, heights = _where_it_bends(curve, reach)
        found = {name: _error(name, points, heights) for name in _FIXED}
        found["leaky_relu"] = _least_leaky_error(points, heights)
        return found


def _where_it_bends(curve: Curve, reach: float) -> tuple[Tensor, Tensor]:
    """Return positions `(C, P)` between which curve and natives are straight, and the heights.

    The largest difference is at one of them. Kinks of natives outside the range are moved to its
    ends.
    """
    if not reach >= 0:
        call = "hinged.curve.recognise(reach=...)"
        raise errors.ArgumentError(errors.sentence(call, repr(reach), "expected 0 or more"))
    hinges = curve.hinges.double().expand(curve.channels, -1)
    wider = reach * (hinges[:, -1:] - hinges[:, :1])
    low, high = hinges[:, :1] - wider, hinges[:, -1:] + wider
    kinks = torch.tensor([-1.0, 0.0, 1.0, 6.0], dtype=torch.float64, device=hinges.device)
    kinks = torch.minimum(torch.maximum(kinks.expand(len(hinges), -1), low), high)
    points = torch.cat((low, hinges, kinks, high), dim=1)
    return points, curve(points.T).T


def _error(name: str, points: Tensor, heights: Tensor) -> Tensor:
    native = torch.zeros_like(points) if name == "zero" else sample(NAMED[name], points)
    return (heights - native).abs().amax(dim=1)


def _slopes_of(name: str, channels: int) -> Tensor:
    slope = {"identity": 1.0, "relu": 0.0, "abs": -1.0}.get(name, torch.nan)
    return torch.full((channels,), slope, dtype=torch.float64)


def _with_slope(points: Tensor, heights: Tensor, allowed: Tensor) -> Native | None:
    """Return the leaky ReLU, or the PReLU, that keeps the bound: every point left of 0 bounds the
    slope from both sides."""
    positive = points >= 0
    right = (heights - points).masked_fill(~positive, 0.0).abs().amax(dim=1)
    away = torch.where(positive, -1.0, points)
    least = ((heights + allowed[:, None]) / away).masked_fill(positive, -torch.inf).amax(dim=1)
    most = ((heights - allowed[:, None]) / away).masked_fill(positive, torch.inf).amin(dim=1)
    if not (right <= allowed).all() or not (least <= most).all() or least.isinf().any():
        return None
    together = (least.max() + most.min()) / 2
    one = bool(least.max() <= most.min())
    slopes = together.expand_as(least).clone() if one else (least + most) / 2
    left = (heights - slopes[:, None] * points).masked_fill(positive, 0.0).abs().amax(dim=1)
    return Native("leaky_relu" if one else "prelu", slopes, torch.maximum(left, right))


def _least_leaky_error(points: Tensor, heights: Tensor) -> Tensor:
    """Return the error of the best slope: the largest error is least where two points miss by as
    much on opposite sides, so one of those slopes is the best (a point with itself is hit)."""
    positive = points >= 0
    right = (heights - points).masked_fill(~positive, 0.0).abs().amax(dim=1)
    x, y = points.masked_fill(positive, 0.0), heights.masked_fill(positive, 0.0)
    sums = x[:, :, None] + x[:, None, :]
    slopes = (y[:, :, None] + y[:, None, :]) / torch.where(sums < 0, sums, 1.0)
    errors_by_slope = torch.zeros_like(slopes)
    for place in range(points.shape[1]):
        miss = (y[:, place, None, None] - slopes * x[:, place, None, None]).abs()
        errors_by_slope = torch.maximum(errors_by_slope, miss)
    return torch.maximum(errors_by_slope.flatten(1).amin(dim=1), right)
