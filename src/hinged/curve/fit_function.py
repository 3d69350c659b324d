"""The function `fit`, which finds the curve closest to a given function.

The curve equals the function if the function is piecewise linear and all its kinks are hinges.
Otherwise the values are a least-squares fit.
"""

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
# Differences up to this fraction of the values count as rounding errors of float64.
_ROUNDING = 1e-11


class Fit(NamedTuple):
    """A fitted curve and its difference from the function.

    Attributes:
        curve: the fitted `Curve`, with values of shape `(C, K)` in the dtype of the hinges.
        error: largest absolute difference between curve and function in the range (from the first
            to the last hinge), shape `(C,)`.
        exact: True if the curve equals the function except for rounding, including the tails. The
            function must then be piecewise linear, and all its kinks must be hinges.
    """

    curve: Curve
    error: Tensor
    exact: bool

    def repeat(self, channels: int) -> Fit:
        """Return this fit of a single channel as the fit of `channels` equal channels."""
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
    """Find the curve on the given hinges that is closest to a function.

    First, `fit` takes the function's outputs at the hinges as values. If the resulting curve equals
    the function except for rounding, these values are the result. Otherwise the values minimise the
    squared difference from the function at evenly spaced points of every piece (the interval
    between two neighbouring hinges).

    Args:
        function: name of a start function such as `"relu"`, a Python function that maps a tensor
            `(M, C)`, with `M` inputs for each channel, to a tensor of the same shape, an
            `nn.Module`, or a `Curve`.
        hinges: ascending input positions, shape `(K,)` or `(C, K)`.
        channels: number of channels `C`.
        tails: outputs outside the range: `"linear"` (the first and last piece continue),
            `"constant"` (the first and last value continue) or `"free"`. Free tails get the slopes
            that the function has just outside the range.
        call: name of the function that the user called, for error messages.

    Returns:
        A `Fit` object with the curve, its largest error per channel, and whether the curve is
        exact.

    Raises:
        ArgumentError: if the hinges do not ascend or do not match `channels`, or if the function
            does not map a tensor to finite values of the same shape.

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
    """Return the hinges with one row per channel, shape `(C, K)`."""
    if hinges.dim() == 2 and hinges.shape[0] not in (1, channels):
        got = f"hinges for {hinges.shape[0]} channels"
        hint = f"expected shape (K,) or ({channels}, K) for channels={channels} with K hinges each"
        raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", got, hint))
    return hinges.expand(channels, hinges.shape[-1])


def _values_on_same_hinges(curve: Curve | None, hinges: Tensor, channels: int) -> Tensor | None:
    """Return the values of `curve` if its hinges equal `hinges`, otherwise None.

    The result is also None if `curve` has neither 1 nor `channels` channels.
    """
    if curve is None or curve.channels not in (1, channels):
        return None
    if hinges.shape[-1] != curve.hinges.shape[-1]:
        return None
    if not torch.equal(*torch.broadcast_tensors(hinges, curve.hinges.to(hinges))):
        return None
    return curve.values.detach().to(hinges).expand(channels, -1).clone()


def _interpolated(function: StartFunction, rows: Tensor) -> Tensor:
    """Return the outputs of the function at the hinges, shape `(C, K)`.

    The outputs are computed in float32 or wider and rounded once to the dtype of the hinges.
    """
    wide = torch.promote_types(rows.dtype, torch.float32)
    return sample(function, rows.to(wide).T).T.to(rows.dtype).contiguous()


def _points_inside(rows: Tensor) -> Tensor:
    """Return evenly spaced points of every piece, including both ends, shape `(C, M)`.

    Args:
        rows: hinges of each channel, shape `(C, K)`.
    """
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=rows.dtype)
    left, width = rows[:, :-1, None], rows.diff(dim=-1)[..., None]
    return torch.minimum(left + t * width, rows[:, 1:, None]).flatten(1)


def _is_exact(function: StartFunction, rows: Tensor, tails: str) -> bool:
    """Return whether the curve through the function's outputs at the hinges equals the function.

    The curve and the function are compared inside the range. Unless the tails are constant, they
    are also compared outside, up to a distance of ten times the width of the range.
    """
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

    The sample points have the same relative positions in every piece. One matrix
    (`_hat_functions`) therefore serves all channels.
    """
    hats = _hat_functions(rows.shape[-1]).to(rows.dtype)
    targets = sample(function, _points_inside(rows).T)
    solution: Tensor = torch.linalg.lstsq(hats, targets, driver="gelsy").solution
    return solution.T.contiguous()


def _hat_functions(count: int) -> Tensor:
    """Return the matrix `(M, K)` that maps `K` values at the hinges to `M` outputs.

    The outputs are those at the sample points of `_points_inside`, and `K` equals `count`. Column
    `k` is a hat function: 1 at hinge `k` and 0 at all other hinges.
    """
    t = torch.linspace(0, 1, _SAMPLES_PER_PIECE + 1, dtype=torch.float64)
    hats = torch.zeros(count - 1, t.numel(), count, dtype=torch.float64)
    piece = torch.arange(count - 1)
    hats[piece, :, piece] = 1 - t
    hats[piece, :, piece + 1] = t
    return hats.flatten(0, 1)


def _slopes_outside(function: StartFunction, rows: Tensor) -> Tensor:
    """Return the slopes `(C, 2)` of the function just outside the range.

    Each slope is measured from the first or last hinge to a point outside the range. The distance
    of this point from the hinge equals the width of the first or last piece.
    """
    left, right = rows[:, 1:2] - rows[:, :1], rows[:, -1:] - rows[:, -2:-1]
    ends = torch.cat((rows[:, :1] - left, rows[:, :1], rows[:, -1:], rows[:, -1:] + right), dim=1)
    outputs = sample(function, ends.T).T
    return (outputs.diff(dim=-1) / ends.diff(dim=-1))[:, ::2]


def _largest_error(function: StartFunction, curve: Curve, rows: Tensor) -> Tensor:
    """Return the largest difference between curve and function in the range, shape `(C,)`."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    points = _points_inside(rows.to(wide)).T
    return (curve(points).double() - sample(function, points).double()).abs().amax(dim=0)
