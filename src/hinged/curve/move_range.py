"""The same curve on hinges elsewhere: in another range, at other places, or another number."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.add_hinges import kinks
from hinged.curve.curve import Curve
from hinged.curve.placement.place_hinges import place_hinges
from hinged.curve.placement.refit import Refit, input_distribution

CALL = "hinged.curve.move_range"


def move_range(
    curve: Curve,
    range: tuple[float, float],
    positions: Tensor,
    shares: Tensor,
    *,
    hinges: int | None = None,
    method: str = "uniform",
) -> Refit:
    """Return the curve on other hinges in another range, the same for all channels.

    A curve with one or two kinks, as ReLU, |x|, a hard tanh or ReLU6, keeps them on hinges, for
    which the range is widened as needed (and hinges are uneven where no even grid holds both), and
    so is moved exactly. Of a curve with more, the kink at
    0 is kept if that loses less. On more hinges than it has, a curve keeps all those where it
    bends, and so stays the same function. The values are the least-squares fit for the inputs'
    distribution.

    Args:
        curve: the curve; it is not changed.
        range: what the new hinges are to cover; it is widened as `uniform_grid` says.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`.
        hinges: how many the moved curve has; as many as before by default.
        method: where between the ends: `"uniform"`, `"quantile"` or `"search"`, as in `place`.

    Returns:
        The moved curve, computed in float64 on hinges `(K,)` that are exact in the curve's dtype,
        with its expected squared and its largest error.

    Raises:
        ArgumentError: a range without width, fewer than two hinges, or a distribution that does not
            fit the curve.
        UnknownNameError: an unknown method.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> x = torch.linspace(-4, 8, 100)
    >>> moved = move_range(relu, (-4.0, 8.0), x, torch.ones(100))
    >>> moved.curve.hinges, moved.error
    (tensor([-8.,  0.,  8.], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    points, weights = input_distribution(CALL, positions, shares, curve.channels)
    count = curve.values.shape[1] if hinges is None else hinges
    sets, ends = _held(curve, count, method), range
    bends = kinks(curve, 4 * torch.finfo(curve.values.dtype).eps).tolist()
    if curve.values.shape[1] < count >= len(bends):
        sets = [bends]
        ends = range if len(bends) + 2 <= count else (bends[0], bends[-1])
    placed = functools.partial(
        place_hinges, curve, points, weights, count, method=method, common=True, call=CALL
    )
    heights = curve(points.T.to(curve.values)).double()
    rounding = 1e-24 * (weights * heights.T.square()).sum().item()
    fits: list[Refit] = []
    for held in sets:
        fits.append(placed(tails=curve.tails, range=ends, kinks=held))
        if fits[-1].loss.sum() <= rounding:
            return fits[-1]
    return min(fits, key=lambda fit: fit.loss.sum().item())


def move_ranges(
    curve: Curve,
    ranges: list[tuple[float, float]],
    positions: Tensor,
    shares: Tensor,
    *,
    hinges: int | None = None,
    method: str = "uniform",
) -> Refit:
    """Return the curve on hinges of each channel's own, `(C, K)`, as `move_range` has them.

    Args:
        curve: the curve of `C` channels; it is not changed.
        ranges: what the hinges of each channel are to cover.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`.
        hinges: how many each channel has; as many as before by default.
        method: as in `move_range`.

    Raises:
        ArgumentError: as in `move_range`, or ranges for another number of channels.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]] * 2))
    >>> x = torch.linspace(-4, 8, 100)
    >>> move_ranges(relu, [(-4.0, 8.0), (-1.0, 2.0)], x, torch.ones(100)).curve.hinges
    tensor([[-8.,  0.,  8.],
            [-2.,  0.,  2.]], dtype=torch.float64)
    """
    if len(ranges) != curve.channels:
        got, hint = f"{len(ranges)} ranges", f"expected one for each of {curve.channels} channels"
        raise errors.ArgumentError(errors.message(f"{CALL}s(ranges=...)", got, hint))
    points, weights = input_distribution(f"{CALL}s", positions, shares, curve.channels)
    points, weights = (each.expand(curve.channels, -1) for each in (points, weights))
    fits = [
        move_range(_channel(curve, c), ends, points[c], weights[c], hinges=hinges, method=method)
        for c, ends in enumerate(ranges)
    ]
    curves = [fit.curve for fit in fits]
    slopes = [each.tail_slopes for each in curves if each.tail_slopes is not None]
    moved = Curve(
        torch.stack([each.hinges for each in curves]),
        torch.cat([each.values for each in curves]),
        curve.tails,
        torch.cat(slopes) if slopes else None,
    )
    return Refit(moved, *(torch.cat([getattr(fit, n) for fit in fits]) for n in ("loss", "error")))


def _held(curve: Curve, count: int, method: str) -> list[list[float]]:
    """Return the sets of kinks that `move_range` tries to hold, those first that are more."""
    found = kinks(curve).tolist()
    few = [found] if 1 <= len(found) <= 2 and len(found) + 2 <= count else []
    # A search has 0 among its candidates, and need not be told.
    zero = [[0.0]] if 0.0 in found and count >= 3 and method != "search" else []
    return [*few, *zero, []]


def _channel(curve: Curve, c: int) -> Curve:
    hinges = (
        curve.hinges if curve.hinges.dim() == 1 else curve.hinges[min(c, len(curve.hinges) - 1)]
    )
    slopes = None if curve.tail_slopes is None else curve.tail_slopes[c : c + 1]
    return Curve(hinges, curve.values[c : c + 1], curve.tails, slopes)
