"""Other representations of a curve: slopes and intercepts, and sums of ReLUs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.evaluate import slopes_and_intercepts


class Lines(NamedTuple):
    """A curve as `y = s[j] x + b[j]` on line `j`: left tail, pieces, right tail.

    Attributes:
        hinges: positions where neighbouring lines meet, shape `(K,)` or `(C, K)`.
        slopes: `s`, shape `(C, K + 1)`.
        intercepts: `b`, shape `(C, K + 1)`.
    """

    hinges: Tensor
    slopes: Tensor
    intercepts: Tensor


class ReluSum(NamedTuple):
    """A curve as `y = offset + slope x + sum_k weights[k] relu(x - hinges[k])`.

    Attributes:
        hinges: positions of the ReLUs, shape `(K,)` or `(C, K)`.
        offset: shape `(C, 1)`.
        slope: slope left of all hinges, shape `(C, 1)`.
        weights: change of slope at each hinge, shape `(C, K)`.
    """

    hinges: Tensor
    offset: Tensor
    slope: Tensor
    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate at `x` of shape `(N, C)`; the result has the same shape."""
        ramps = (x.unsqueeze(-1) - self.hinges).relu()
        return self.offset.T + self.slope.T * x + (self.weights * ramps).sum(dim=-1)


def to_lines(curve: Curve) -> Lines:
    """Return slope and intercept of the tails and of every piece.

    >>> to_lines(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))).slopes
    tensor([[-1., -1.,  1.,  1.]])
    """
    return Lines(
        curve.hinges,
        *slopes_and_intercepts(curve.hinges, curve.values, curve.tails, curve.tail_slopes),
    )


def from_lines(form: Lines) -> Curve:
    """Return the curve with free tails that has these lines; the inverse of `to_lines`.

    Raises:
        ArgumentError: neighbouring lines do not meet at their hinge.
    """
    hinges, slopes, intercepts = form
    left = slopes[:, :-1] * hinges + intercepts[:, :-1]
    right = slopes[:, 1:] * hinges + intercepts[:, 1:]
    size = 1 + torch.maximum((slopes[:, :-1] * hinges).abs(), (slopes[:, 1:] * hinges).abs())
    gap = (left - right).abs() / size
    if (gap > 64 * torch.finfo(slopes.dtype).eps).any():
        got = f"lines {(left - right).abs().max():g} apart at a hinge"
        hint = "a curve is continuous: neighbouring lines must meet"
        raise errors.ArgumentError(errors.message("hinged.curve.from_lines", got, hint))
    return Curve(hinges, right, "free", slopes[:, [0, -1]])


def to_relus(curve: Curve) -> ReluSum:
    """Return the curve as a straight line plus one ReLU per hinge.

    This form is ill-conditioned for many hinges, because every ReLU continues to the right end. Use
    it to export or to compare curves, and train the values.

    >>> to_relus(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[1.0, 0.0, 1.0]]))).weights
    tensor([[0., 2., 0.]])
    """
    _, slopes, intercepts = to_lines(curve)
    return ReluSum(curve.hinges, intercepts[:, :1], slopes[:, :1], slopes.diff(dim=-1))


def from_relus(form: ReluSum) -> Curve:
    """Return the curve with free tails that equals the sum; the inverse of `to_relus`."""
    hinges = form.hinges.expand(form.weights.shape)
    ramps = (hinges.unsqueeze(-1) - hinges.unsqueeze(-2)).relu()
    values = form.offset + form.slope * hinges + (form.weights.unsqueeze(-2) * ramps).sum(dim=-1)
    last = form.slope + form.weights.sum(dim=-1, keepdim=True)
    return Curve(form.hinges, values, "free", torch.cat((form.slope, last), dim=-1))
