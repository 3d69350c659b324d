"""Functions that compute the largest slope, the total variation and the distance of curves.

The results of `lipschitz`, `total_variation`, `distance` and `squared_distance` can be
differentiated with respect to the values of the curves. They can therefore be used as penalties in
a training loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.equivalent_forms import to_lines

NORMS = ("max", "l2")
# Expected rounding error of the values of a curve, as a multiple of `eps` times the largest value.
_ROUNDINGS = 8


def lipschitz(curve: Curve) -> Tensor:
    """Return the Lipschitz constant of each channel, shape `(C,)`.

    The Lipschitz constant of a piecewise-linear function is the largest absolute slope of its
    pieces and tails.

    >>> lipschitz(Curve(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([[0.0, -3.0, 1.0]])))
    tensor([4.])
    """
    return to_lines(curve).slopes.abs().amax(dim=-1)


def total_variation(curve: Curve, order: int = 2) -> Tensor:
    """Return the total variation of the slope of each channel, or of its output.

    Args:
        curve: the curve of `C` channels.
        order: 2 (default) or 1. With 2, the result is the sum of the absolute changes of slope at
            all hinges, which is 0 for a straight line and 1 for a ReLU. With 1, the result is the
            sum of the absolute changes of the output from the first to the last hinge.

    Returns:
        A tensor of shape `(C,)`.

    Raises:
        ArgumentError: if `order` is neither 1 nor 2.

    Source of order 2: Unser, "A representer theorem for deep neural networks" (JMLR 2019).

    >>> total_variation(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]])))
    tensor([1.])
    """
    if order == 1:
        return curve.values.diff(dim=-1).abs().sum(dim=-1)
    if order == 2:
        return to_lines(curve).slopes.diff(dim=-1).abs().sum(dim=-1)
    hint = "expected 1 (changes of the output) or 2 (changes of the slope)"
    raise errors.ArgumentError(
        errors.message("hinged.curve.total_variation(order=...)", repr(order), hint)
    )


def distance(first: Curve, second: Curve, norm: str = "max") -> Tensor:
    """Return the distance between two curves for each channel, shape `(C,)`.

    The curves are compared on the interval from the leftmost to the rightmost hinge of both curves.
    The result is exact except for rounding, because the difference of two curves is a straight line
    between neighbouring hinges.

    Args:
        first: one curve.
        second: the other curve. Both curves have the same number of channels, or one of them has a
            single channel.
        norm: `"max"` for the largest absolute difference, or `"l2"` for the square root of the
            integral of the squared difference.

    Raises:
        UnknownNameError: if the norm is unknown.
        ArgumentError: if the numbers of channels do not match.

    >>> flat = Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 0.0]]))
    >>> distance(flat, Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 1.0]])))
    tensor([1.])
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

    The integral runs from the leftmost to the rightmost hinge of both curves. Where the curves are
    equal, the gradient is 0 and not NaN.

    Args:
        first: one curve.
        second: the other curve. Both curves have the same number of channels, or one of them has a
            single channel.
        call: name of the function that the user called, for error messages.

    Raises:
        ArgumentError: if the numbers of channels do not match.

    >>> flat = Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 0.0]]))
    >>> squared_distance(flat, Curve(torch.tensor([0.0, 3.0]), torch.tensor([[0.0, 1.0]])))
    tensor([1.])
    """
    differences, positions = _differences_at_hinges(first, second, call)
    left, right = differences[:, :-1], differences[:, 1:]
    squares = (left.square() + left * right + right.square()) / 3 * positions.diff(dim=-1)
    return squares.sum(dim=-1)


def with_rounding(curve: Curve, tolerance: float | Tensor) -> Tensor:
    """Return the tolerance of each channel, increased by the rounding error of the curve.

    The increase is `8 * torch.finfo(curve.values.dtype).eps` times the largest absolute value of
    the channel. A tolerance of 0 therefore still allows differences by rounding.

    Args:
        curve: the curve of `C` channels.
        tolerance: one number for all channels, or a tensor `(C,)`.

    Returns:
        A float64 tensor of shape `(C,)`.

    >>> curve = Curve(torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 2.0]]))
    >>> bool(0.5 < with_rounding(curve, 0.5) < 0.50001)
    True
    """
    given = torch.as_tensor(tolerance, dtype=torch.float64, device=curve.values.device)
    largest = curve.values.detach().double().abs().amax(dim=1)
    return given + _ROUNDINGS * torch.finfo(curve.values.dtype).eps * largest


def _differences_at_hinges(first: Curve, second: Curve, call: str) -> tuple[Tensor, Tensor]:
    """Return the outputs of `first` minus those of `second` at the hinges of both curves.

    The function returns two tensors of shape `(C, K)`: these differences, and the positions of the
    hinges. `K` is the sum of the two numbers of hinges.
    """
    channels = max(first.channels, second.channels)
    if {first.channels, second.channels} - {1, channels}:
        got = f"curves of {first.channels} and {second.channels} channels"
        hint = "expected equal numbers of channels, or one curve with a single channel"
        raise errors.ArgumentError(errors.message(call, got, hint))
    rows = [curve.hinges.expand(channels, curve.hinges.shape[-1]) for curve in (first, second)]
    positions = torch.cat(rows, dim=-1).sort(dim=-1).values
    return first(positions.T).T - second(positions.T).T, positions
