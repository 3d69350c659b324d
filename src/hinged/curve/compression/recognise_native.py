"""Functions that compare curves with native activations: those of PyTorch, such as ReLU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.measures import with_rounding
from hinged.curve.placement.refit import check_both_or_neither, input_distribution
from hinged.curve.start_functions import START_FUNCTIONS, sample

# Ordered from simple to complex. If several activations are within the tolerance, the first of them
# is the result.
_WITHOUT_PARAMETERS = ("zero", "identity", "relu", "relu6", "hardtanh", "abs")
RECOGNISE_CALL = "hinged.curve.recognise_native"
DISTANCES_CALL = "hinged.curve.distances_to_native"


class NativeActivation(NamedTuple):
    """An activation of PyTorch that can replace every channel of a curve.

    Attributes:
        name: `"zero"`, `"identity"`, `"relu"`, `"relu6"`, `"hardtanh"`, `"abs"`, `"leaky_relu"`, or
            `"prelu"` if the channels have different slopes left of 0.
        slopes: slope left of 0, shape `(C,)`, for activations that equal `x` right of 0. For the
            other activations, the slope is NaN. All slopes are equal, unless the name is `"prelu"`.
        error: difference between curve and activation for each channel, shape `(C,)`, float64. It
            is the largest absolute difference or, if a distribution of inputs was given, the root
            of the expected squared difference.
    """

    name: str
    slopes: Tensor
    error: Tensor


class _ComparisonPoints(NamedTuple):
    """The points where a curve is compared with native activations.

    Attributes:
        x: input positions, shape `(C, P)`, float64.
        y: outputs of the curve at `x`, shape `(C, P)`.
        weights: fraction of the inputs at each point, shape `(C, P)`, if the expected squared
            difference is computed. None if the largest difference is computed. The curve and the
            native activations are then straight between neighbouring points.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None

    def norm(self, difference: Tensor) -> Tensor:
        """Return one number for each row of `difference`, shape `(C,)`.

        The number is the largest absolute entry or, with weights, the root of the weighted mean of
        the squared entries.
        """
        if self.weights is None:
            return difference.abs().amax(dim=1)
        return (self.weights * difference.square()).sum(dim=1).sqrt()

    def distance_to(self, name: str) -> Tensor:
        """Return the distance of the curve from the native activation `name`, shape `(C,)`."""
        if name == "zero":
            return self.norm(self.y - torch.zeros_like(self.x))
        return self.norm(self.y - sample(START_FUNCTIONS[name], self.x))

    def distance_to_identity_right_of_zero(self) -> Tensor:
        """Return the distance of the curve from `x` over inputs of at least 0, shape `(C,)`."""
        return self.norm((self.y - self.x).masked_fill(self.x < 0, 0.0))

    def distance_to_leaky_relu(self, slopes: Tensor) -> Tensor:
        """Return the distance of the curve from leaky ReLUs with the given slopes, shape `(C,)`."""
        return self.norm(self.y - torch.where(self.x < 0, slopes[:, None] * self.x, self.x))


def recognise_native(
    curve: Curve,
    tolerance: float,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> NativeActivation | None:
    """Return the activation of PyTorch that differs from all channels by at most a tolerance.

    If no activation is within the tolerance, the result is None. If several activations are within
    the tolerance, the simplest is returned. The slope of a leaky ReLU is the middle of all slopes
    within the tolerance. If no single slope suits all channels, the result is a PReLU with one
    slope per channel.

    The tolerance of each channel is increased by the rounding error of its values: `8 * eps` times
    the largest absolute value, with `eps` from `torch.finfo(curve.values.dtype)`.

    Args:
        curve: the curve of `C` channels.
        tolerance: largest allowed difference, in units of the values. If `positions` and `shares`
            give a distribution of inputs, the tolerance limits the root of the expected squared
            difference. Otherwise it limits the largest absolute difference over the range (from the
            first to the last hinge).
        reach: how far outside the range the curve is compared too, on each side, as a multiple of
            the width of the range. For the range (-3, 3), `reach=0.5` compares from -6 to 6.
            With a distribution of inputs, `reach` has no effect.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`; None for no
            distribution.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs.

    Returns:
        A `NativeActivation` or None.

    Raises:
        ArgumentError: if the tolerance or `reach` is negative, if only one of `positions` and
            `shares` is given, or if their shapes do not match the curve.

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
    """Return the distance of each channel from each of several activations of PyTorch.

    If `positions` and `shares` give a distribution of inputs, the distance is the root of the
    expected squared difference. Otherwise it is the largest absolute difference over the range
    (from the first to the last hinge). For `"leaky_relu"`, the slope with the smallest distance is
    used.

    Args:
        curve: the curve of `C` channels.
        reach: how far outside the range the curve is compared too, on each side, as a multiple of
            the width of the range. For the range (-3, 3), `reach=0.5` compares from -6 to 6.
            With a distribution of inputs, `reach` has no effect.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`; None for no
            distribution.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs.

    Returns:
        A dict from the name of each activation to its distances, float64 tensors of shape `(C,)`.
        The distance from the nearest activation is `torch.stack(list(result.values())).amin(0)`.

    Raises:
        ArgumentError: if `reach` is negative, if only one of `positions` and `shares` is given, or
            if their shapes do not match the curve.

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
    """Return the points where the curve is compared with native activations."""
    check_both_or_neither(call, positions, shares)
    if positions is None or shares is None:
        return _ComparisonPoints(*_where_slopes_change(call, curve, reach), None)
    x, weights = input_distribution(call, positions, shares, curve.channels)
    return _ComparisonPoints(x, curve(x.T).T, weights)


def _where_slopes_change(call: str, curve: Curve, reach: float) -> tuple[Tensor, Tensor]:
    """Return the points where the curve or a native activation may change its slope.

    Between neighbouring points, the curve and the native activations are straight. The largest
    difference therefore lies at one of the points. If a kink lies outside the compared interval,
    the end of the interval is used instead.

    Returns:
        Two tensors of shape `(C, P)`: the positions, and the outputs of the curve there.
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
    """Return the leaky ReLU or the PReLU within the tolerance, or None."""
    bounds = _slopes_within_maximum if points.weights is None else _slopes_within_mean
    least, most = bounds(points, allowed)
    right_side = points.distance_to_identity_right_of_zero()
    if not (right_side <= allowed).all() or not (least <= most).all():
        return None
    same_slope = bool(least.max() <= most.min())
    if same_slope:
        slopes = ((least.max() + most.min()) / 2).expand_as(least).clone()
    else:  # A channel without points left of 0 may have any slope, so it gets 0.
        slopes = ((least + most) / 2).nan_to_num(nan=0.0)
    name = "leaky_relu" if same_slope else "prelu"
    return NativeActivation(name, slopes, points.distance_to_leaky_relu(slopes))


def _slopes_within_maximum(points: _ComparisonPoints, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest slope of the leaky ReLUs within the tolerance, `(C,)` each.

    `allowed` limits the largest difference left of 0.
    """
    positive = points.x >= 0
    x = torch.where(positive, -1.0, points.x)
    least = ((points.y + allowed[:, None]) / x).masked_fill(positive, -torch.inf)
    most = ((points.y - allowed[:, None]) / x).masked_fill(positive, torch.inf)
    return least.amax(dim=1), most.amin(dim=1)


def _slopes_within_mean(points: _ComparisonPoints, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest slope of the leaky ReLUs within the tolerance, `(C,)` each.

    `allowed` limits the root of the mean squared difference. The result is NaN if no slope is
    within the tolerance. The mean squared difference is a quadratic function of the slope.
    """
    best, squares = _least_squares_slopes(points)
    room = allowed.square() - points.distance_to_leaky_relu(best).square()
    width = torch.where(squares > 0, (room / squares).sqrt(), torch.inf)
    return best - width, best + width


def _least_squares_slopes(points: _ComparisonPoints) -> tuple[Tensor, Tensor]:
    """Return the least-squares slope left of 0, and the mean of the squares of the inputs left of
    0, `(C,)` each."""
    assert points.weights is not None
    left = points.x.clamp(max=0)
    squares = (points.weights * left.square()).sum(dim=1)
    products = (points.weights * left * points.y).sum(dim=1)
    return products / torch.where(squares > 0, squares, 1.0), squares


def _least_leaky_relu_error(points: Tensor, heights: Tensor) -> Tensor:
    """Return the largest difference between the curve and the best leaky ReLU, shape `(C,)`.

    For the best slope, either two points have the same error with opposite signs, or one point has
    no error. The function therefore tries the slopes of all pairs of points. The pair of a point
    and itself stands for a slope without an error at this point.

    Args:
        points: input positions, shape `(C, P)`.
        heights: outputs of the curve at `points`, shape `(C, P)`.
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
