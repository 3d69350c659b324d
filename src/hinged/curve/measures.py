"""Numbers that describe curves; all are differentiable in the values, and so serve as penalties."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.forms import to_lines

NORMS = ("max", "l2")
# What a curve's own values are known to, in units of the last place of the largest.
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
    (JMLR 2019). Order 1 is the length of the way up and down between the first and last hinge.

    Raises:
        ArgumentError: an order other than 1 and 2.

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
    """Return how far two curves are apart, per channel, from the leftmost to the rightmost hinge
    of both, shape `(C,)`.

    Both are straight between the hinges of either, so the figures are exact: `"max"` is the
    largest absolute difference, `"l2"` the root of the integral of the squared difference.

    Raises:
        ArgumentError: an unknown norm, or channel counts that do not fit each other.
    """
    if norm not in NORMS:
        raise errors.unknown_name("hinged.curve.distance(norm=...)", norm, NORMS)
    if norm == "l2":
        return squared_distance(first, second).sqrt()
    return _gap(first, second)[0].abs().amax(dim=-1)


def squared_distance(first: Curve, second: Curve) -> Tensor:
    """Return the integral of the squared difference of two curves per channel, from the leftmost to
    the rightmost hinge of both, shape `(C,)`; its gradient is 0, not NaN, where they are equal.

    Raises:
        ArgumentError: channel counts that do not fit each other.

    >>> flat = Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 0.0]]))
    >>> squared_distance(flat, Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 1.0]])))
    tensor([1.])
    """
    gap, positions = _gap(first, second)
    left, right = gap[:, :-1], gap[:, 1:]
    squares = (left.square() + left * right + right.square()) / 3 * positions.diff(dim=-1)
    return squares.sum(dim=-1)


def _gap(first: Curve, second: Curve) -> tuple[Tensor, Tensor]:
    """Return the difference of two curves at the hinges of both, and those, each `(C, K)`."""
    channels = max(first.channels, second.channels)
    if {first.channels, second.channels} - {1, channels}:
        got = f"curves of {first.channels} and {second.channels} channels"
        hint = "expected equal counts, or one curve for all"
        raise errors.ArgumentError(errors.message("hinged.curve.distance", got, hint))
    positions = torch.cat([_rows(curve, channels) for curve in (first, second)], dim=-1)
    positions = positions.sort(dim=-1).values
    return first(positions.T).T - second(positions.T).T, positions


def _rows(curve: Curve, channels: int) -> Tensor:
    return curve.hinges.expand(channels, curve.hinges.shape[-1])


def with_rounding(curve: Curve, tolerance: float | Tensor) -> Tensor:
    """Return a tolerance and a few units in the last place of each channel's largest value, so that
    a tolerance of 0 means the same but for rounding, shape `(C,)`, float64.

    >>> curve = Curve(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 2.0]]))
    >>> bool(0.5 < with_rounding(curve, 0.5) < 0.50001)
    True
    """
    asked = torch.as_tensor(tolerance, dtype=torch.float64, device=curve.values.device)
    largest = curve.values.detach().double().abs().amax(dim=1)
    return asked + _ROUNDINGS * torch.finfo(curve.values.dtype).eps * largest
