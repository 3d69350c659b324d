"""Measures of curves. All are differentiable in the values, so they can serve as penalties."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.equivalent_forms import to_lines

NORMS = ("max", "l2")
# Rounding errors to expect in a curve's values, in units of the last place of the largest value.
_ROUNDINGS = 8


def lipschitz(curve: Curve) -> Tensor:
    """Return the largest absolute slope of each channel, tails included, shape `(C,)`.

    >>> lipschitz(Curve(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([[0.0, -3.0, 1.0]])))
    tensor([4.])
    """
    return to_lines(curve).slopes.abs().amax(dim=-1)


def total_variation(curve: Curve, order: int = 2) -> Tensor:
    """Return the total variation of the curve or of its slope for each channel, shape `(C,)`.

    Order 2 is the sum of the absolute changes of slope at the hinges, tails included: 0 for a
    straight line, 1 for a ReLU. Source: Unser, "A representer theorem for deep neural networks"
    (JMLR 2019). Order 1 is the sum of the absolute changes of value from the first to the last
    hinge.

    Raises:
        ArgumentError: the order is neither 1 nor 2.

    >>> total_variation(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]])))
    tensor([1.])
    """
    if order == 1:
        return curve.values.diff(dim=-1).abs().sum(dim=-1)
    if order == 2:
        return to_lines(curve).slopes.diff(dim=-1).abs().sum(dim=-1)
    hint = "expected 1 (values) or 2 (slopes)"
    raise errors.ArgumentError(
        errors.message("hinged.curve.total_variation(order=...)", repr(order), hint)
    )


def distance(first: Curve, second: Curve, norm: str = "max") -> Tensor:
    """Return the distance of two curves for each channel, shape `(C,)`.

    The interval is from the leftmost to the rightmost hinge of both curves. Between neighbouring
    hinges of either curve both are straight, so the results are exact. `"max"` is the largest
    absolute difference, `"l2"` the root of the integral of the squared difference.

    Raises:
        ArgumentError: an unknown norm, or channel counts that do not match.
    """
    call = "hinged.curve.distance"
    if norm not in NORMS:
        raise errors.unknown_name(f"{call}(norm=...)", norm, NORMS)
    if norm == "l2":
        return squared_distance(first, second, call=call).sqrt()
    return _differences_at_hinges(first, second, call)[0].abs().amax(dim=-1)


def squared_distance(
    first: Curve, second: Curve, *, call: str = "hinged.curve.squared_distance"
) -> Tensor:
    """Return the integral of the squared difference of two curves for each channel, shape `(C,)`.

    The interval is from the leftmost to the rightmost hinge of both curves. The gradient is 0, not
    NaN, where the curves are equal.

    Args:
        first: one curve.
        second: the other; its channel count is the same, or one of the two is 1.
        call: the name of the user's call, for error messages.

    Raises:
        ArgumentError: channel counts that do not match.

    >>> flat = Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 0.0]]))
    >>> squared_distance(flat, Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 1.0]])))
    tensor([1.])
    """
    differences, positions = _differences_at_hinges(first, second, call)
    left, right = differences[:, :-1], differences[:, 1:]
    squares = (left.square() + left * right + right.square()) / 3 * positions.diff(dim=-1)
    return squares.sum(dim=-1)


def with_rounding(curve: Curve, tolerance: float | Tensor) -> Tensor:
    """Return a tolerance plus a few units in the last place of each channel's largest value.

    With it, a tolerance of 0 still allows for rounding. The result is float64, shape `(C,)`.

    >>> curve = Curve(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 2.0]]))
    >>> bool(0.5 < with_rounding(curve, 0.5) < 0.50001)
    True
    """
    given = torch.as_tensor(tolerance, dtype=torch.float64, device=curve.values.device)
    largest = curve.values.detach().double().abs().amax(dim=1)
    return given + _ROUNDINGS * torch.finfo(curve.values.dtype).eps * largest


def _differences_at_hinges(first: Curve, second: Curve, call: str) -> tuple[Tensor, Tensor]:
    """Return the differences of two curves at the hinges of both, and these hinges, `(C, K)`."""
    channels = max(first.channels, second.channels)
    if {first.channels, second.channels} - {1, channels}:
        got = f"curves of {first.channels} and {second.channels} channels"
        hint = "expected equal counts, or one curve for all"
        raise errors.ArgumentError(errors.message(call, got, hint))
    rows = [curve.hinges.expand(channels, curve.hinges.shape[-1]) for curve in (first, second)]
    positions = torch.cat(rows, dim=-1).sort(dim=-1).values
    return first(positions.T).T - second(positions.T).T, positions
