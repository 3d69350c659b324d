"""Fits a curve to a function: exactly if the hinges allow it, otherwise by least squares."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve, check_hinges
from hinged.curve.evaluate import evaluate, is_uniform
from hinged.curve.start_functions import Start, StartFunction, resolve_start, sample

CALL = "hinged.curve.fit"
_SAMPLES_PER_PIECE = 64
# A difference this small, relative to the values, is float64 rounding.
_ROUNDING = 1e-11


class Fit(NamedTuple):
    """A fitted curve and its difference from the function.

    Attributes:
        curve: the curve, values of shape `(C, K)` in the dtype of the hinges.
        error: the largest absolute difference from the function over the range, shape `(C,)`.
        exact: whether the curve is the function, tails included: the function is piecewise linear
            and its kinks are hinges.
    """

    curve: Curve
    error: Tensor
    exact: bool

    def repeat(self, channels: int) -> Fit:
        """Return the fit of one channel, repeated for `channels` equal channels."""
        curve = self.curve
        values = curve.values.repeat(channels, 1)
        slopes = None if curve.tail_slopes is None else curve.tail_slopes.repeat(channels, 1)
        repeated = Curve(curve.hinges, values, curve.tails, slopes)
        return Fit(repeated, self.error.repeat(channels), self.exact)


def fit(
    function: Start | StartFunction,
    hinges: Tensor,
    *,
    channels: int = 1,
    tails: str = "linear",
    call: str = CALL,
) -> Fit:
    """Return the curve on `hinges` that is closest to `function`.

    If the interpolant at the hinges is the function itself, it is the result. Otherwise the values
    minimise the squared difference over evenly spaced points of every piece.

    Args:
        function: a name, a callable on a tensor `(M, C)`, an `nn.Module` or a `Curve`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        channels: number of channels `C`.
        tails: as in `Curve`; free tails get the slopes of the function just outside the range.
        call: the name of the user's call, for error messages.

    Returns:
        The curve, its largest error per channel, and whether it is exact.

    Raises:
        ArgumentError: the hinges do not ascend or do not match `channels`, or the function does not
            map a tensor to finite values of the same shape.

    >>> result = fit("relu", torch.tensor([-1.0, 0.0, 1.0]))
    >>> result.exact, result.curve.values
    (True, tensor([[0., 0., 1.]]))
    """
    check_hinges(hinges, f"{call}(hinges=...)")
    function = resolve_start(function, f"{call}(function=...)")
    if function.same_for_all_channels and hinges.dim() == 1 and channels > 1:
        return fit(function, hinges, tails=tails, call=call).repeat(channels)
    with torch.no_grad():
        rows = _hinges_by_channel(hinges, channels, call)
        copied = _values_on_same_hinges(function.curve, hinges, channels)
        values = _interpolated(function, rows) if copied is None else copied
        slopes = _slopes_outside(function, rows.double()) if tails == "free" else None
        slopes = None if slopes is None else slopes.to(hinges.dtype)
        curve = Curve(hinges, values, tails, slopes)
        exact = _is_exact(function, rows.double(), tails)
        if not exact and copied is None:
            values = _least_squares(function, rows.double()).to(hinges.dtype)
            curve = Curve(hinges, values, tails, slopes)
        return Fit(curve, _largest_error(function, curve, rows), exact)


def _hinges_by_channel(hinges: Tensor, channels: int, call: str) -> Tensor:
    """Return the hinges as `(C, K)`."""
    if hinges.dim() == 2 and hinges.shape[0] not in (1, channels):
        got = f"positions for {hinges.shape[0]} channels"
        hint = f"expected (K,) or ({channels}, K), as channels={channels}"
        raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", got, hint))
    return hinges.expand(channels, hinges.shape[-1])


def _values_on_same_hinges(curve: Curve | None, hinges: Tensor, channels: int) -> Tensor | None:
    """Return the values of a given curve, if it has these hinges already."""
    if curve is None or curve.channels not in (1, channels):
        return None
    if hinges.shape[-1] != curve.hinges.shape[-1]:
        return None
    if not torch.equal(*torch.broadcast_tensors(hinges, curve.hinges.to(hinges))):
        return None
    return curve.values.detach().to(hinges).expand(channels, -1).clone()


def _interpolated(function: StartFunction, rows: Tensor) -> Tensor:
    """Return the function at the hinges, computed in float32 or wider and rounded once."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    return sample(function, rows.to(wide).T).T.to(rows.dtype).contiguous()


def _points_inside(rows: Tensor) -> Tensor:
    """Return `(C, M)` points: every piece of `rows` `(C, K)` divided evenly, its ends included."""
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=rows.dtype)
    left, width = rows[:, :-1, None], rows.diff(dim=-1)[..., None]
    return torch.minimum(left + t * width, rows[:, 1:, None]).flatten(1)


def _is_exact(function: StartFunction, rows: Tensor, tails: str) -> bool:
    """Whether the interpolant on `rows` is the function: inside the range and, unless the tails are
    constant, up to ten ranges outside."""
    points = _points_inside(rows)
    if tails != "constant":
        width = rows[:, -1:] - rows[:, :1]
        reach = width * torch.tensor([0.01, 0.1, 1.0, 10.0], dtype=rows.dtype)
        points = torch.cat((points, rows[:, :1] - reach, rows[:, -1:] + reach), dim=1)
    values = sample(function, rows.T).T
    slopes = _slopes_outside(function, rows) if tails == "free" else None
    try:
        expected = sample(function, points.T)
    except errors.ArgumentError:
        return False
    uniform = is_uniform(rows)
    found = evaluate(points.T, values, rows, tails=tails, tail_slopes=slopes, uniform=uniform)
    return bool(((found - expected).abs() <= _ROUNDING * (1 + expected.abs())).all())


def _least_squares(function: StartFunction, rows: Tensor) -> Tensor:
    """Return the values `(C, K)` that minimise the squared error over all sample points.

    The points lie at the same relative positions in every piece, so one matrix of hat functions
    serves all channels.
    """
    hats = _hat_functions(rows.shape[-1]).to(rows.dtype)
    targets = sample(function, _points_inside(rows).T)
    solution: Tensor = torch.linalg.lstsq(hats, targets, driver="gelsy").solution
    return solution.T.contiguous()


def _hat_functions(count: int) -> Tensor:
    """Return the weight of each of `count` values at each point of `_points_inside`, `(M, K)`."""
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=torch.float64)
    hats = torch.zeros(count - 1, t.numel(), count, dtype=torch.float64)
    piece = torch.arange(count - 1)
    hats[piece, :, piece] = 1 - t
    hats[piece, :, piece + 1] = t
    return hats.flatten(0, 1)


def _slopes_outside(function: StartFunction, rows: Tensor) -> Tensor:
    """Return the slopes `(C, 2)` of the secants outside, each as wide as its end piece."""
    left, right = rows[:, 1:2] - rows[:, :1], rows[:, -1:] - rows[:, -2:-1]
    ends = torch.cat((rows[:, :1] - left, rows[:, :1], rows[:, -1:], rows[:, -1:] + right), dim=1)
    outputs = sample(function, ends.T).T
    return (outputs.diff(dim=-1) / ends.diff(dim=-1))[:, ::2]


def _largest_error(function: StartFunction, curve: Curve, rows: Tensor) -> Tensor:
    wide = torch.promote_types(rows.dtype, torch.float32)
    points = _points_inside(rows.to(wide)).T
    return (curve(points).double() - sample(function, points).double()).abs().amax(dim=0)
