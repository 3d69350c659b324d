"""Two other forms of a curve: the slope and intercept of each line, and a sum of ReLUs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.evaluate import slopes_and_intercepts


class Lines(NamedTuple):
    """A piecewise-linear function given by the slope and the intercept of each of its lines.

    A function with `K` hinges has `K + 1` lines. Line 0 is the left tail, lines 1 to `K - 1`
    connect neighbouring hinges, and line `K` is the right tail. On line `j` the output is
    `y = s[j] x + b[j]`.

    Attributes:
        hinges: input positions where two neighbouring lines meet, shape `(K,)` or `(C, K)`.
        slopes: slope `s` of each line, shape `(C, K + 1)`.
        intercepts: intercept `b` of each line, shape `(C, K + 1)`.
    """

    hinges: Tensor
    slopes: Tensor
    intercepts: Tensor


class ReluSum(NamedTuple):
    """A piecewise-linear function given as the sum of a straight line and `K` weighted ReLUs.

    The output is `y = offset + slope x + sum_k weights[k] relu(x - hinges[k])`.

    Attributes:
        hinges: input positions where the ReLUs start to rise, shape `(K,)` or `(C, K)`.
        offset: output of the straight line at `x = 0`, shape `(C, 1)`.
        slope: slope of the straight line, shape `(C, 1)`. Left of all hinges, the function has this
            slope.
        weights: change of slope at each hinge, shape `(C, K)`.
    """

    hinges: Tensor
    offset: Tensor
    slope: Tensor
    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs for inputs `x` of shape `(N, C)`, in the same shape."""
        ramps = (x.unsqueeze(-1) - self.hinges).relu()
        return self.offset.T + self.slope.T * x + (self.weights * ramps).sum(dim=-1)


def to_lines(curve: Curve) -> Lines:
    """Return the slope and the intercept of both tails and of every piece of a curve.

    A piece is the straight line between two neighbouring hinges.

    Args:
        curve: the curve of `C` channels with `K` hinges.

    Returns:
        A `Lines` object with slopes and intercepts of shape `(C, K + 1)`, ordered from left to
        right.

    >>> to_lines(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))).slopes
    tensor([[-1., -1.,  1.,  1.]])
    """
    return Lines(
        curve.hinges,
        *slopes_and_intercepts(curve.hinges, curve.values, curve.tails, curve.tail_slopes),
    )


def from_lines(form: Lines) -> Curve:
    """Return the curve that consists of the given lines.

    `from_lines` is the inverse of `to_lines`.

    Args:
        form: the hinges and the slope and intercept of each line, as a `Lines` object.

    Returns:
        A `Curve` whose outputs equal the outputs of the lines. The tails of this curve are always
        free, also if the lines come from a curve with linear or constant tails.

    Raises:
        ArgumentError: if two neighbouring lines have different outputs at the hinge between them.

    >>> absolute = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    >>> from_lines(to_lines(absolute)).values
    tensor([[1., 0., 1.]])
    """
    hinges, slopes, intercepts = form
    left = slopes[:, :-1] * hinges + intercepts[:, :-1]
    right = slopes[:, 1:] * hinges + intercepts[:, 1:]
    size = 1 + torch.maximum((slopes[:, :-1] * hinges).abs(), (slopes[:, 1:] * hinges).abs())
    gap = (left - right).abs() / size
    if (gap > 64 * torch.finfo(slopes.dtype).eps).any():
        got = f"neighbouring lines that differ by {(left - right).abs().max():g} at a hinge"
        hint = "a curve is continuous: neighbouring lines must have equal outputs at their hinge"
        raise errors.ArgumentError(errors.message("hinged.curve.from_lines", got, hint))
    return Curve(hinges, right, "free", slopes[:, [0, -1]])


def to_relus(curve: Curve) -> ReluSum:
    """Return the curve as the sum of a straight line and one weighted ReLU per hinge.

    This form is for export and for comparison. It is badly conditioned for training, because each
    ReLU changes all outputs to its right. For training, use the values of the curve.

    Args:
        curve: the curve of `C` channels with `K` hinges.

    Returns:
        A `ReluSum` object with weights of shape `(C, K)`.

    >>> to_relus(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))).weights
    tensor([[0., 2., 0.]])
    """
    _, slopes, intercepts = to_lines(curve)
    return ReluSum(curve.hinges, intercepts[:, :1], slopes[:, :1], slopes.diff(dim=-1))


def from_relus(form: ReluSum) -> Curve:
    """Return the curve that equals a sum of ReLUs.

    `from_relus` is the inverse of `to_relus`.

    Args:
        form: the straight line and the weighted ReLUs, as a `ReluSum` object.

    Returns:
        A `Curve` whose outputs equal the sum. The tails of this curve are always free, also if the
        ReLUs come from a curve with linear or constant tails.

    >>> absolute = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))
    >>> from_relus(to_relus(absolute)).values
    tensor([[1., 0., 1.]])
    """
    hinges = form.hinges.expand(form.weights.shape)
    ramps = (hinges.unsqueeze(-1) - hinges.unsqueeze(-2)).relu()
    values = form.offset + form.slope * hinges + (form.weights.unsqueeze(-2) * ramps).sum(dim=-1)
    last = form.slope + form.weights.sum(dim=-1, keepdim=True)
    return Curve(form.hinges, values, "free", torch.cat((form.slope, last), dim=-1))
