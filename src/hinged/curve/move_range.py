"""The functions `move_range` and `move_ranges`, which approximate a curve with new hinges.

The new hinges may cover another range, and their number may differ from the old number.
"""

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
    """Approximate a curve with new hinges in another range, the same hinges for all channels.

    The range is the interval from the first to the last hinge. The new values have the least loss:
    the expected squared difference from the curve for the distribution of the inputs. Some of the
    new hinges lie at kinks (the positions where the slope of the curve changes):

    * A curve with one or two kinks, such as ReLU, |x|, hard tanh or ReLU6, does not change. Its
      kinks stay hinges. The number of new hinges must exceed the number of kinks by at least two.
      The new hinges may cover more than `range`. The spacing is uneven if no even spacing has a
      hinge at both kinks.
    * If a curve with more kinks has a kink at 0, two fits are compared: one with a hinge at 0, and
      one that may have no hinge at 0. The fit with the smaller loss is the result.
    * If the new number of hinges exceeds the old number, all kinks stay hinges and the function
      does not change.

    Args:
        curve: the curve of `C` channels with `K` hinges; `move_range` does not change it.
        range: the interval `(low, high)` of inputs that the new hinges must cover. They may cover
            more, for the reasons in `uniform_grid`.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs. Only ratios matter.
        hinges: number of new hinges; None keeps the number `K`.
        method: how the hinges that are not kinks are placed: `"uniform"` (evenly), `"quantile"`
            (with equal shares of the inputs between them) or `"search"` (with the least loss). See
            `place_hinges`.
        call: name of the function that the user called, for error messages.

    Returns:
        A `Refit` object with the new curve, its expected squared error and its largest error. Its
        tensors are float64. The new hinges have shape `(K,)` and are exact in the dtype of `curve`.

    Raises:
        ArgumentError: if the range has no width, if there are fewer than two hinges, or if the
            shapes of `positions` and `shares` do not match each other and the curve.
        UnknownNameError: if the method is unknown.

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
    """Approximate a curve with new hinges in other ranges, with different hinges for each channel.

    The function calls `move_range` for each channel separately.

    Args:
        curve: the curve of `C` channels; `move_ranges` does not change it.
        ranges: the interval `(low, high)` that the new hinges of each channel must cover, a list of
            `C` pairs.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs. Only ratios matter.
        hinges: number of new hinges per channel; None keeps the number of hinges.
        method: how the hinges are placed: `"uniform"`, `"quantile"` or `"search"`, as in
            `move_range`.

    Returns:
        A `Refit` object with the new curve of hinges `(C, K)`, its expected squared error and
        largest error, `(C,)` each.

    Raises:
        ArgumentError: if the number of ranges is not `C`, if a range has no width, if there are
            fewer than two hinges, or if the shapes of `positions` and `shares` do not match each
            other and the curve.
        UnknownNameError: if the method is unknown.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]] * 2))
    >>> x = torch.linspace(-4, 8, 100)
    >>> move_ranges(relu, [(-4.0, 8.0), (-1.0, 2.0)], x, torch.ones(100)).curve.hinges
    tensor([[-8.,  0.,  8.],
            [-2.,  0.,  2.]], dtype=torch.float64)
    """
    if len(ranges) != curve.channels:
        got = f"{len(ranges)} ranges"
        hint = f"expected one for each of {curve.channels} channels of the curve"
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
    """Return the sets of positions that must be hinges, one set for each fit that `move_range`
    tries.

    The larger sets come first, and the last set is empty.
    """
    found = kinks(curve).tolist()
    few = [found] if 1 <= len(found) <= 2 and len(found) + 2 <= count else []
    # No extra fit is needed for a search, because its candidate positions include 0.
    zero = [[0.0]] if 0.0 in found and count >= 3 and method != "search" else []
    return [*few, *zero, []]


def _channel(curve: Curve, c: int) -> Curve:
    """Return channel `c` of the curve as a curve with a single channel."""
    hinges = (
        curve.hinges if curve.hinges.dim() == 1 else curve.hinges[min(c, len(curve.hinges) - 1)]
    )
    slopes = None if curve.tail_slopes is None else curve.tail_slopes[c : c + 1]
    return Curve(hinges, curve.values[c : c + 1], curve.tails, slopes)
