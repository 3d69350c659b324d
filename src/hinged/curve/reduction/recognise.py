"""Which of torch's own activations a curve is, or nearly is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.measures import with_rounding
from hinged.curve.placement.refit import check_both_or_neither, input_distribution
from hinged.curve.start_functions import START_FUNCTIONS, sample

# Simplest first: a curve that is several of them within the tolerance is called by the first name.
_FIXED = ("zero", "identity", "relu", "relu6", "hardtanh", "abs")
CALL = "hinged.curve.recognise"


class Native(NamedTuple):
    """A native activation that serves every channel of a curve.

    Attributes:
        name: `"zero"`, `"identity"`, `"relu"`, `"relu6"`, `"hardtanh"`, `"abs"`, `"leaky_relu"` or,
            with a slope for each channel, `"prelu"`.
        slopes: slope left of 0 where the function is `x` right of it, shape `(C,)`, NaN for the
            others. All are the same but for `"prelu"`.
        error: largest absolute difference over the range, or the root of the expected squared
            one where inputs were given, shape `(C,)`, float64.
    """

    name: str
    slopes: Tensor
    error: Tensor


class _Points(NamedTuple):
    """Where a curve is compared with natives.

    Attributes:
        x: positions, shape `(C, P)`, float64.
        y: the curve there, shape `(C, P)`.
        weights: shares of the inputs there, shape `(C, P)`, or None where the largest difference
            counts; the points are then those between which curve and natives are straight.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None

    def size(self, miss: Tensor) -> Tensor:
        """Return the largest absolute number of each row, or the root of the mean square."""
        if self.weights is None:
            return miss.abs().amax(dim=1)
        return (self.weights * miss.square()).sum(dim=1).sqrt()

    def from_native(self, name: str) -> Tensor:
        """Return how far the curve is from a native activation, `(C,)`."""
        native = (
            torch.zeros_like(self.x) if name == "zero" else sample(START_FUNCTIONS[name], self.x)
        )
        return self.size(self.y - native)

    def from_identity_right_of_0(self) -> Tensor:
        """Return how far the curve is from `x` where that is positive, `(C,)`."""
        return self.size((self.y - self.x).masked_fill(self.x < 0, 0.0))

    def from_slopes(self, slopes: Tensor) -> Tensor:
        """Return how far the curve is from a line for negative, `x` for positive inputs, `(C,)`."""
        return self.size(self.y - torch.where(self.x < 0, slopes[:, None] * self.x, self.x))


def recognise(
    curve: Curve,
    tolerance: float,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> Native | None:
    """Return the native activation that all channels of a curve are within `tolerance`, or None.

    A leaky ReLU's slope, one for all channels or else one for each, is the middle of all slopes
    that keep the bound; one is found if there is one. A few units in the last place of the largest
    value are added to the tolerance, so that 0 means the same but for rounding.

    Args:
        curve: the curve.
        tolerance: largest absolute difference over the range, in units of the values; with a
            distribution of inputs, the root of the expected squared difference.
        reach: how far beyond the range the largest difference counts too, in widths of the range.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`.

    Raises:
        ArgumentError: a negative tolerance or reach, or a distribution that is incomplete or does
            not fit the curve.

    >>> x = torch.tensor([-2.0, -1.0, 0.0, 1.0])
    >>> found = recognise(Curve(x, torch.tensor([[-0.5, -0.25, 0.0, 1.0]])), 1e-6)
    >>> found.name, found.slopes
    ('leaky_relu', tensor([0.2500], dtype=torch.float64))
    """
    if not tolerance >= 0:
        call = f"{CALL}(tolerance=...)"
        raise errors.ArgumentError(errors.message(call, repr(tolerance), "expected 0 or more"))
    with torch.no_grad():
        points = _points(curve, reach, positions, shares)
        allowed = with_rounding(curve, tolerance)
        for name in _FIXED:
            error = points.from_native(name)
            if (error <= allowed).all():
                return Native(name, _slopes_of(name, error), error)
        return _with_slope(points, allowed)


def native_distances(
    curve: Curve,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return how far each channel is from each native activation, `(C,)` each, float64.

    The largest absolute difference over the range, or the root of the expected squared one, as in
    `recognise`; for `"leaky_relu"` that of the slope with the least.
    `torch.stack(list(...)).amin(0)` is the distance from the nearest.

    >>> abs_curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    >>> {name: error.item() for name, error in native_distances(abs_curve).items() if error < 1}
    {'abs': 0.0, 'leaky_relu': 0.0}
    """
    with torch.no_grad():
        points = _points(curve, reach, positions, shares)
        found = {name: points.from_native(name) for name in _FIXED}
        if points.weights is None:
            found["leaky_relu"] = _least_leaky_error(points.x, points.y)
        else:
            found["leaky_relu"] = points.from_slopes(_mean_slopes(points)[0])
        return found


def _points(curve: Curve, reach: float, positions: Tensor | None, shares: Tensor | None) -> _Points:
    check_both_or_neither(CALL, positions, shares)
    if positions is None or shares is None:
        return _Points(*_where_it_bends(curve, reach), None)
    x, weights = input_distribution(CALL, positions, shares, curve.channels)
    return _Points(x, curve(x.T).T, weights)


def _where_it_bends(curve: Curve, reach: float) -> tuple[Tensor, Tensor]:
    """Return positions `(C, P)` between which curve and natives are straight, and the heights.

    The largest difference is at one of them. Kinks of natives outside the range are moved to its
    ends.
    """
    if not reach >= 0:
        call = f"{CALL}(reach=...)"
        raise errors.ArgumentError(errors.message(call, repr(reach), "expected 0 or more"))
    hinges = curve.hinges.double().expand(curve.channels, -1)
    wider = reach * (hinges[:, -1:] - hinges[:, :1])
    low, high = hinges[:, :1] - wider, hinges[:, -1:] + wider
    kinks = torch.tensor([-1.0, 0.0, 1.0, 6.0], dtype=torch.float64, device=hinges.device)
    kinks = torch.minimum(torch.maximum(kinks.expand(len(hinges), -1), low), high)
    points = torch.cat((low, hinges, kinks, high), dim=1)
    return points, curve(points.T).T


def _slopes_of(name: str, like: Tensor) -> Tensor:
    slope = {"identity": 1.0, "relu": 0.0, "abs": -1.0}.get(name, torch.nan)
    return torch.full_like(like, slope)


def _with_slope(points: _Points, allowed: Tensor) -> Native | None:
    """Return the leaky ReLU, or the PReLU, that keeps the bound."""
    bounds = _slopes_at_most if points.weights is None else _slopes_in_mean
    least, most = bounds(points, allowed)
    if not (points.from_identity_right_of_0() <= allowed).all() or not (least <= most).all():
        return None
    one = bool(least.max() <= most.min())
    if one:
        slopes = ((least.max() + most.min()) / 2).expand_as(least).clone()
    else:  # Any slope will do for a channel without points left of 0.
        slopes = ((least + most) / 2).nan_to_num(nan=0.0)
    return Native("leaky_relu" if one else "prelu", slopes, points.from_slopes(slopes))


def _slopes_at_most(points: _Points, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes that keep the largest difference: every point left of 0 bounds them."""
    positive = points.x >= 0
    away = torch.where(positive, -1.0, points.x)
    least = ((points.y + allowed[:, None]) / away).masked_fill(positive, -torch.inf)
    most = ((points.y - allowed[:, None]) / away).masked_fill(positive, torch.inf)
    return least.amax(dim=1), most.amin(dim=1)


def _slopes_in_mean(points: _Points, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes that keep the mean square, which grows by the square of their distance
    from the best; NaN where none does."""
    best, squares = _mean_slopes(points)
    room = allowed.square() - points.from_slopes(best).square()
    away = torch.where(squares > 0, (room / squares).sqrt(), torch.inf)
    return best - away, best + away


def _mean_slopes(points: _Points) -> tuple[Tensor, Tensor]:
    """Return the least-squares slope left of 0 and the mean square of `x` there, `(C,)` each."""
    assert points.weights is not None
    left = points.x.clamp(max=0)
    squares = (points.weights * left.square()).sum(dim=1)
    products = (points.weights * left * points.y).sum(dim=1)
    return products / torch.where(squares > 0, squares, 1.0), squares


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
