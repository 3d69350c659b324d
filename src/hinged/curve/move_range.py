"""Moves a curve to other hinges: another range, other positions, or another number of hinges."""

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
CALL_BY_CHANNEL = "hinged.curve.move_ranges"


def move_range(
    curve: Curve,
    range: tuple[float, float],
    positions: Tensor,
    shares: Tensor,
    *,
    hinges: int | None = None,
    method: str = "uniform",
    call: str = CALL,
) -> Refit:
    """Return the curve on other hinges in another range, which are the same for all channels.

    A curve with one or two kinks, such as ReLU, |x|, a hard tanh or ReLU6, is moved exactly: its
    kinks stay hinges. For that the range is widened as needed, and the spacing is uneven if no even
    grid has hinges at both. For a curve with more kinks, a kink at 0 stays a hinge if that gives a
    smaller loss. With more hinges than before, every bend stays a hinge and the function does not
    change. The values are the least-squares fit for the distribution of the inputs.

    Args:
        curve: the curve; it is not changed.
        range: the interval that the new hinges cover; it is widened as in `uniform_grid`.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`.
        hinges: number of hinges of the moved curve; by default as many as before.
        method: how to place the other hinges: `"uniform"`, `"quantile"` or `"search"`, as in
            `place_hinges`.
        call: the name of the user's call, for error messages.

    Returns:
        The moved curve with its expected squared error and its largest error. It is computed in
        float64, on hinges `(K,)` that are exact in the curve's dtype.

    Raises:
        ArgumentError: a range without width, fewer than two hinges, or a distribution that does not
            match the curve.
        UnknownNameError: an unknown method.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> x = torch.linspace(-4, 8, 100)
    >>> moved = move_range(relu, (-4.0, 8.0), x, torch.ones(100))
    >>> moved.curve.hinges, moved.error
    (tensor([-8.,  0.,  8.], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    points, weights = input_distribution(call, positions, shares, curve.channels)
    count = curve.values.shape[1] if hinges is None else hinges
    kink_sets, ends = _kink_sets(curve, count, method), range
    bends = kinks(curve, 4 * torch.finfo(curve.values.dtype).eps).tolist()
    if curve.values.shape[1] < count >= len(bends):
        kink_sets = [bends]
        ends = range if len(bends) + 2 <= count else (bends[0], bends[-1])
    place = functools.partial(
        place_hinges, curve, points, weights, count, method=method, common=True, call=call
    )
    heights = curve(points.T.to(curve.values)).double()
    rounding = 1e-24 * (weights * heights.T.square()).sum().item()
    fits: list[Refit] = []
    for kink_set in kink_sets:
        fits.append(place(tails=curve.tails, range=ends, kinks=kink_set))
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
    """Return the curve with different hinges for each channel, `(C, K)`, placed by `move_range`.

    Args:
        curve: the curve of `C` channels; it is not changed.
        ranges: the interval that the hinges of each channel cover.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`.
        hinges: number of hinges of each channel; by default as many as before.
        method: as in `move_range`.

    Raises:
        ArgumentError: as in `move_range`, or a wrong number of ranges.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]] * 2))
    >>> x = torch.linspace(-4, 8, 100)
    >>> move_ranges(relu, [(-4.0, 8.0), (-1.0, 2.0)], x, torch.ones(100)).curve.hinges
    tensor([[-8.,  0.,  8.],
            [-2.,  0.,  2.]], dtype=torch.float64)
    """
    if len(ranges) != curve.channels:
        got, hint = f"{len(ranges)} ranges", f"expected one for each of {curve.channels} channels"
        raise errors.ArgumentError(errors.message(f"{CALL_BY_CHANNEL}(ranges=...)", got, hint))
    points, weights = input_distribution(CALL_BY_CHANNEL, positions, shares, curve.channels)
    points, weights = (each.expand(curve.channels, -1) for each in (points, weights))
    fits = [
        move_range(
            _channel(curve, c),
            ends,
            points[c],
            weights[c],
            hinges=hinges,
            method=method,
            call=CALL_BY_CHANNEL,
        )
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


def _kink_sets(curve: Curve, count: int, method: str) -> list[list[float]]:
    """Return the sets of kinks for which `move_range` tries a fit, the larger sets first."""
    found = kinks(curve).tolist()
    few = [found] if 1 <= len(found) <= 2 and len(found) + 2 <= count else []
    # The candidates of a search always include 0.
    zero = [[0.0]] if 0.0 in found and count >= 3 and method != "search" else []
    return [*few, *zero, []]


def _channel(curve: Curve, c: int) -> Curve:
    hinges = (
        curve.hinges if curve.hinges.dim() == 1 else curve.hinges[min(c, len(curve.hinges) - 1)]
    )
    slopes = None if curve.tail_slopes is None else curve.tail_slopes[c : c + 1]
    return Curve(hinges, curve.values[c : c + 1], curve.tails, slopes)
