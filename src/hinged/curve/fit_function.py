"""From a function to a curve: exact where the hinges can carry it, least squares otherwise."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve, check_hinges
from hinged.curve.evaluate import evaluate, is_uniform
from hinged.curve.start_functions import Function, Start, resolve, sample

_SAMPLES_PER_PIECE = 64
# A difference this small, relative to the values, is rounding in float64 and not a wrong shape.
_ROUNDING = 1e-11


class Fit(NamedTuple):
    """A fitted curve and how far it is from the function.

    Attributes:
        curve: the curve, values of shape `(C, K)` in the dtype of the hinges.
        error: the largest absolute difference to the function over the range, shape `(C,)`.
        exact: whether the function is piecewise linear with its kinks on the hinges, tails
            included, so that the curve is that function.
    """

    curve: Curve
    error: Tensor
    exact: bool

    def repeated(self, channels: int) -> Fit:
        """Return the fit of one channel for many that are alike."""
        one = self.curve
        values = one.values.repeat(channels, 1)
        slopes = None if one.tail_slopes is None else one.tail_slopes.repeat(channels, 1)
        curve = Curve(one.hinges, values, one.tails, slopes)
        return Fit(curve, self.error.repeat(channels), self.exact)


def fit(function: Start, hinges: Tensor, *, channels: int = 1, tails: str = "linear") -> Fit:
    """Return the curve on `hinges` that is closest to `function`.

    Where the interpolant at the hinges is the function itself it is taken as it is; otherwise the
    values minimise the squared difference over evenly spread points of every piece.

    Args:
        function: a name, a callable on a tensor `(M, C)`, an `nn.Module` or a `Curve`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        channels: number of channels `C`.
        tails: as in `Curve`; the slopes of free tails are the function's just outside.

    Returns:
        The curve, its largest error per channel, and whether it is exact.

    Raises:
        ArgumentError: hinges that do not ascend or do not fit `channels`, or a function that
            does not map a tensor to finite values of the same shape.

    >>> result = fit("relu", torch.tensor([-1.0, 0.0, 1.0]))
    >>> result.exact, result.curve.values
    (True, tensor([[0., 0., 1.]]))
    """
    check_hinges(hinges, "hinged.PiecewiseLinear(hinges=...)")
    resolved = resolve(function)
    if resolved.alike and hinges.dim() == 1 and channels > 1:
        return fit(function, hinges, tails=tails).repeated(channels)
    with torch.no_grad():
        rows = _rows(hinges, channels)
        copied = _copied_values(function, hinges, channels)
        values = _interpolated(resolved, rows) if copied is None else copied
        slopes = _slopes_outside(resolved, rows.double()) if tails == "free" else None
        candidate = Curve(hinges, values, tails, _cast(slopes, hinges.dtype))
        exact = _is_exact(resolved, rows.double(), tails)
        if not exact and copied is None:
            values = _least_squares(resolved, rows.double()).to(hinges.dtype)
            candidate = Curve(hinges, values, tails, _cast(slopes, hinges.dtype))
        return Fit(candidate, _largest_error(resolved, candidate, rows), exact)


def _rows(hinges: Tensor, channels: int) -> Tensor:
    """Return the hinges as `(C, K)`."""
    if hinges.dim() == 2 and hinges.shape[0] not in (1, channels):
        call = "hinged.PiecewiseLinear(hinges=...)"
        got = f"positions for {hinges.shape[0]} channels"
        hint = f"expected (K,) or ({channels}, K), as channels={channels}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return hinges.expand(channels, hinges.shape[-1])


def _copied_values(function: Start, hinges: Tensor, channels: int) -> Tensor | None:
    """Return a given curve's own values where it has these very hinges."""
    if not isinstance(function, Curve) or function.values.shape[0] not in (1, channels):
        return None
    if hinges.shape[-1] != function.hinges.shape[-1]:
        return None
    if not torch.equal(*torch.broadcast_tensors(hinges, function.hinges.to(hinges))):
        return None
    return function.values.detach().to(hinges).expand(channels, -1).clone()


def _interpolated(function: Function, rows: Tensor) -> Tensor:
    """Return the function at the hinges, computed in float32 or wider and rounded once."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    return sample(function, rows.to(wide).T).T.to(rows.dtype).contiguous()


def _inside(rows: Tensor) -> Tensor:
    """Return `(C, M)` points: every piece of `rows` `(C, K)` divided evenly, its ends included."""
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=rows.dtype)
    left, width = rows[:, :-1, None], rows.diff(dim=-1)[..., None]
    return torch.minimum(left + t * width, rows[:, 1:, None]).flatten(1)


def _is_exact(function: Function, rows: Tensor, tails: str) -> bool:
    """Whether the interpolant on `rows` is the function, inside and, but for constant tails,
    up to ten ranges outside."""
    points = _inside(rows)
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
    even = is_uniform(rows)
    reached = evaluate(points.T, values, rows, tails=tails, tail_slopes=slopes, uniform=even)
    return bool(((reached - expected).abs() <= _ROUNDING * (1 + expected.abs())).all())


def _least_squares(function: Function, rows: Tensor) -> Tensor:
    """Return the values `(C, K)` that minimise the squared error over all sample points.

    The points lie at the same relative places of every piece, so that one matrix of hat
    functions serves every channel.
    """
    hats = _hat_functions(rows.shape[-1]).to(rows.dtype)
    targets = sample(function, _inside(rows).T)
    solution: Tensor = torch.linalg.lstsq(hats, targets, driver="gelsy").solution
    return solution.T.contiguous()


def _hat_functions(count: int) -> Tensor:
    """Return the weight of each of `count` values at each point of `_inside`, shape `(M, K)`."""
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=torch.float64)
    hats = torch.zeros(count - 1, t.numel(), count, dtype=torch.float64)
    piece = torch.arange(count - 1)
    hats[piece, :, piece] = 1 - t
    hats[piece, :, piece + 1] = t
    return hats.flatten(0, 1)


def _slopes_outside(function: Function, rows: Tensor) -> Tensor:
    """Return the slopes `(C, 2)` of the secants over one end piece's width outside."""
    left, right = rows[:, 1:2] - rows[:, :1], rows[:, -1:] - rows[:, -2:-1]
    ends = torch.cat((rows[:, :1] - left, rows[:, :1], rows[:, -1:], rows[:, -1:] + right), dim=1)
    outputs = sample(function, ends.T).T
    return (outputs.diff(dim=-1) / ends.diff(dim=-1))[:, ::2]


def _largest_error(function: Function, curve: Curve, rows: Tensor) -> Tensor:
    wide = torch.promote_types(rows.dtype, torch.float32)
    points = _inside(rows.to(wide)).T
    return (curve(points).double() - sample(function, points).double()).abs().amax(dim=0)


def _cast(slopes: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if slopes is None else slopes.to(dtype)
