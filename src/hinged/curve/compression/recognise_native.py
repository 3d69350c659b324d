"""Recognises curves that are, exactly or nearly, a native activation of torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.measures import with_rounding
from hinged.curve.placement.refit import check_both_or_neither, input_distribution
from hinged.curve.start_functions import START_FUNCTIONS, sample

# Simplest first: if several are within the tolerance, the first one is the result.
_WITHOUT_PARAMETERS = ("zero", "identity", "relu", "relu6", "hardtanh", "abs")
RECOGNISE_CALL = "hinged.curve.recognise_native"
DISTANCES_CALL = "hinged.curve.distances_to_native"


class NativeActivation(NamedTuple):
    """A native activation that can replace every channel of a curve.

    Attributes:
        name: `"zero"`, `"identity"`, `"relu"`, `"relu6"`, `"hardtanh"`, `"abs"`, `"leaky_relu"` or,
            with different slopes for the channels, `"prelu"`.
        slopes: slope left of 0 of the functions that are `x` right of 0, shape `(C,)`; NaN for the
            others. All slopes are equal, except for `"prelu"`.
        error: largest absolute difference over the range or, if inputs were given, the root of the
            expected squared difference, shape `(C,)`, float64.
    """

    name: str
    slopes: Tensor
    error: Tensor


class _ComparisonPoints(NamedTuple):
    """The points where a curve is compared with native activations.

    Attributes:
        x: positions, shape `(C, P)`, float64.
        y: the curve there, shape `(C, P)`.
        weights: shares of the inputs there, shape `(C, P)`. None if the largest difference counts;
            then curve and native activations are straight between neighbouring points.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None

    def norm(self, difference: Tensor) -> Tensor:
        """Return the largest absolute number of each row, or the root of the mean square."""
        if self.weights is None:
            return difference.abs().amax(dim=1)
        return (self.weights * difference.square()).sum(dim=1).sqrt()

    def distance_to(self, name: str) -> Tensor:
        """Return the distance of the curve from the native activation of that name, `(C,)`."""
        if name == "zero":
            return self.norm(self.y - torch.zeros_like(self.x))
        return self.norm(self.y - sample(START_FUNCTIONS[name], self.x))

    def distance_to_identity_right_of_zero(self) -> Tensor:
        """Return the distance of the curve from `x` over positive inputs, `(C,)`."""
        return self.norm((self.y - self.x).masked_fill(self.x < 0, 0.0))

    def distance_to_leaky_relu(self, slopes: Tensor) -> Tensor:
        """Return the distance of the curve from leaky ReLUs with these slopes, `(C,)`."""
        return self.norm(self.y - torch.where(self.x < 0, slopes[:, None] * self.x, self.x))


def recognise_native(
    curve: Curve,
    tolerance: float,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> NativeActivation | None:
    """Return the native activation that is within `tolerance` of all channels, or None.

    The slope of a leaky ReLU is the middle of all slopes within the tolerance, for all channels
    together or, if there is none, for each channel. A few units in the last place of the largest
    value are added to the tolerance, so 0 still allows for rounding.

    Args:
        curve: the curve.
        tolerance: largest absolute difference over the range, in units of the values; with a
            distribution of inputs, the root of the expected squared difference.
        reach: how far beyond the range the largest difference counts too, in widths of the range.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`.

    Raises:
        ArgumentError: a negative tolerance or reach, or a distribution that is incomplete or does
            not match the curve.

    >>> x = torch.tensor([-2.0, -1.0, 0.0, 1.0])
    >>> native = recognise_native(Curve(x, torch.tensor([[-0.5, -0.25, 0.0, 1.0]])), 1e-6)
    >>> native.name, native.slopes
    ('leaky_relu', tensor([0.2500], dtype=torch.float64))
    """
    if not tolerance >= 0:
        call = f"{RECOGNISE_CALL}(tolerance=...)"
        raise errors.ArgumentError(errors.message(call, repr(tolerance), "expected 0 or more"))
    with torch.no_grad():
        points = _comparison_points(RECOGNISE_CALL, curve, reach, positions, shares)
        allowed = with_rounding(curve, tolerance)
        for name in _WITHOUT_PARAMETERS:
            error = points.distance_to(name)
            if (error <= allowed).all():
                slope = {"identity": 1.0, "relu": 0.0, "abs": -1.0}.get(name, torch.nan)
                return NativeActivation(name, torch.full_like(error, slope), error)
        return _recognise_leaky_relu(points, allowed)


def distances_to_native(
    curve: Curve,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the distance of each channel from each native activation, `(C,)` each, float64.

    The distance is the largest absolute difference over the range, or the root of the expected
    squared difference, as in `recognise_native`. `"leaky_relu"` has the slope with the least
    distance. `torch.stack(list(...)).amin(0)` is the distance from the nearest native activation.

    >>> abs_curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    >>> {name: error.item() for name, error in distances_to_native(abs_curve).items() if error < 1}
    {'abs': 0.0, 'leaky_relu': 0.0}
    """
    with torch.no_grad():
        points = _comparison_points(DISTANCES_CALL, curve, reach, positions, shares)
        distances = {name: points.distance_to(name) for name in _WITHOUT_PARAMETERS}
        if points.weights is None:
            distances["leaky_relu"] = _least_leaky_relu_error(points.x, points.y)
        else:
            slopes = _least_squares_slopes(points)[0]
            distances["leaky_relu"] = points.distance_to_leaky_relu(slopes)
        return distances


def _comparison_points(
    call: str, curve: Curve, reach: float, positions: Tensor | None, shares: Tensor | None
) -> _ComparisonPoints:
    check_both_or_neither(call, positions, shares)
    if positions is None or shares is None:
        return _ComparisonPoints(*_where_slopes_change(call, curve, reach), None)
    x, weights = input_distribution(call, positions, shares, curve.channels)
    return _ComparisonPoints(x, curve(x.T).T, weights)


def _where_slopes_change(call: str, curve: Curve, reach: float) -> tuple[Tensor, Tensor]:
    """Return positions `(C, P)` where the curve or a native activation may bend, and the heights.

    Between them both are straight, so the largest difference is at one of them. Kinks of native
    activations outside the range are moved to its ends.
    """
    if not reach >= 0:
        got, hint = repr(reach), "expected 0 or more"
        raise errors.ArgumentError(errors.message(f"{call}(reach=...)", got, hint))
    hinges = curve.hinges.double().expand(curve.channels, -1)
    wider = reach * (hinges[:, -1:] - hinges[:, :1])
    low, high = hinges[:, :1] - wider, hinges[:, -1:] + wider
    kinks = torch.tensor([-1.0, 0.0, 1.0, 6.0], dtype=torch.float64, device=hinges.device)
    kinks = torch.minimum(torch.maximum(kinks.expand(len(hinges), -1), low), high)
    points = torch.cat((low, hinges, kinks, high), dim=1)
    return points, curve(points.T).T


def _recognise_leaky_relu(points: _ComparisonPoints, allowed: Tensor) -> NativeActivation | None:
    """Return the leaky ReLU, or the PReLU, within the tolerance."""
    bounds = _slopes_within_maximum if points.weights is None else _slopes_within_mean
    least, most = bounds(points, allowed)
    right_side = points.distance_to_identity_right_of_zero()
    if not (right_side <= allowed).all() or not (least <= most).all():
        return None
    same_slope = bool(least.max() <= most.min())
    if same_slope:
        slopes = ((least.max() + most.min()) / 2).expand_as(least).clone()
    else:  # A channel without points left of 0 may have any slope.
        slopes = ((least + most) / 2).nan_to_num(nan=0.0)
    name = "leaky_relu" if same_slope else "prelu"
    return NativeActivation(name, slopes, points.distance_to_leaky_relu(slopes))


def _slopes_within_maximum(points: _ComparisonPoints, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest slope whose largest difference left of 0 is allowed."""
    positive = points.x >= 0
    x = torch.where(positive, -1.0, points.x)
    least = ((points.y + allowed[:, None]) / x).masked_fill(positive, -torch.inf)
    most = ((points.y - allowed[:, None]) / x).masked_fill(positive, torch.inf)
    return least.amax(dim=1), most.amin(dim=1)


def _slopes_within_mean(points: _ComparisonPoints, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest slope whose mean square is allowed; NaN if there is none.

    The mean square grows with the square of the distance from the best slope.
    """
    best, squares = _least_squares_slopes(points)
    room = allowed.square() - points.distance_to_leaky_relu(best).square()
    width = torch.where(squares > 0, (room / squares).sqrt(), torch.inf)
    return best - width, best + width


def _least_squares_slopes(points: _ComparisonPoints) -> tuple[Tensor, Tensor]:
    """Return the least-squares slope left of 0 and the mean square of `x` there, `(C,)` each."""
    assert points.weights is not None
    left = points.x.clamp(max=0)
    squares = (points.weights * left.square()).sum(dim=1)
    products = (points.weights * left * points.y).sum(dim=1)
    return products / torch.where(squares > 0, squares, 1.0), squares


def _least_leaky_relu_error(points: Tensor, heights: Tensor) -> Tensor:
    """Return the largest error of the leaky ReLU with the best slope.

    With the best slope, two points have the same error with opposite signs (a point paired with
    itself has none). So the slopes of all pairs of points are tried.
    """
    positive = points >= 0
    right = (heights - points).masked_fill(~positive, 0.0).abs().amax(dim=1)
    x, y = points.masked_fill(positive, 0.0), heights.masked_fill(positive, 0.0)
    sums = x[:, :, None] + x[:, None, :]
    slopes = (y[:, :, None] + y[:, None, :]) / torch.where(sums < 0, sums, 1.0)
    largest = torch.zeros_like(slopes)
    for index in range(points.shape[1]):
        error = (y[:, index, None, None] - slopes * x[:, index, None, None]).abs()
        largest = torch.maximum(largest, error)
    return torch.maximum(largest.flatten(1).amin(dim=1), right)
