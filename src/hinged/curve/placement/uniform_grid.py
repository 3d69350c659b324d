"""Where the hinges go: uniform grids that keep every kink of a function on a hinge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Integral

import torch
from torch import Tensor

from hinged import errors

CALL = "hinged.PiecewiseLinear"


def uniform_grid(
    count: int,
    range: Sequence[float] = (-3.0, 3.0),
    *,
    kinks: Sequence[float] = (),
    tails: str = "linear",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return `count` equally spaced hinges that cover `range` and hold every kink.

    The range is widened as little as needed: for a kink to fall on a hinge, for one more hinge
    beyond the outermost kinks (with linear tails, which repeat the end piece), and, by a few units
    in the last place, for the spacing to be exact in `dtype`. Kinks that no uniform grid of
    `count` hinges can hold get free positions.

    Args:
        count: number of hinges `K`, at least 2.
        range: the interval to cover, in units of the input.
        kinks: positions where the function changes slope, in units of the input.
        tails: the tails the curve will have, as in `Curve`.
        dtype: the dtype of the hinges.

    Returns:
        Ascending hinges of shape `(K,)` and the dtype asked.

    Raises:
        ArgumentError: fewer hinges than the kinks need, a range without width, or hinges so
            close together that `dtype` cannot tell them apart.

    >>> uniform_grid(5, (-1.0, 2.0), kinks=[0.0])
    tensor([-1.,  0.,  1.,  2.,  3.])
    """
    low, high = (Fraction(end) for end in check_range(range))
    places = [Fraction(kink) for kink in sorted(set(kinks))]
    margin = 1 if tails == "linear" else 0
    _check_count(count, places, _sides(low, high, places, margin))
    count = int(count)
    if not places:
        return _finish(_without_kinks(low, high, count, dtype), dtype)
    layouts = _layouts(count, low, high, places, margin)
    found = min(layouts, key=lambda layout: (layout.step, layout.unevenness), default=None)
    if found is None:
        return _finish(_free_positions(count, low, high, places, margin), dtype)
    return _finish(_exact_positions(found, count, dtype), dtype)


def check_range(range: Sequence[float]) -> tuple[float, float]:
    """Return `(low, high)` as floats, or raise `ArgumentError` where they span nothing."""
    call = f"{CALL}(range=...)"
    try:
        low, high = (float(end) for end in range)
    except (TypeError, ValueError):
        hint = "expected two numbers (low, high)"
        raise errors.ArgumentError(errors.message(call, repr(range), hint)) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        hint = "expected finite numbers with low < high"
        raise errors.ArgumentError(errors.message(call, f"({low:g}, {high:g})", hint))
    return low, high


@dataclass(frozen=True)
class _Layout:
    """Hinge `index` lies at `origin`, the others `step` apart. Exact, as fractions: in float64 a
    step is found to a few units in the last place, which is as much as it must be rounded up by."""

    origin: Fraction
    step: Fraction
    index: int
    unevenness: Fraction = Fraction(0)

    def positions(self, count: int) -> list[Fraction]:
        return [self.origin + (k - self.index) * self.step for k in range(count)]


def _sides(low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int) -> int:
    """Return how many hinges must lie outside the kinks: to make the tails, or to reach the ends of
    the range."""
    if not kinks:
        return 0
    return int(margin or low < kinks[0]) + int(margin or high > kinks[-1])


def _check_count(count: int, kinks: Sequence[Fraction], sides: int) -> None:
    call = f"{CALL}(hinges=...)"
    if isinstance(count, bool) or not isinstance(count, Integral):
        hint = "expected a whole number of hinges, or the positions as a tensor"
        raise errors.ArgumentError(errors.message(call, repr(count), hint))
    got = f"{count} hinge{'' if count == 1 else 's'}"
    if count < 2:
        raise errors.ArgumentError(errors.message(call, got, "a curve needs at least 2"))
    needed = len(kinks) + sides
    if count < needed:
        where = ", ".join(f"{float(kink):g}" for kink in kinks)
        hint = (
            f"a function with a kink at {where} needs at least {needed}: "
            "one at each kink and one beyond, on each side where the range or a linear tail goes on"
        )
        raise errors.ArgumentError(errors.message(call, got, hint))


def _without_kinks(low: Fraction, high: Fraction, count: int, dtype: torch.dtype) -> list[Fraction]:
    for unit in _units(max(abs(low), abs(high)), dtype):
        origin = math.floor(low / unit) * unit
        step = _round_up((high - origin) / (count - 1), unit)
        positions = _Layout(origin, step, 0).positions(count)
        if _representable(positions, dtype):
            return positions
    return _Layout(low, (high - low) / (count - 1), 0).positions(count)


def _layouts(
    count: int, low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int
) -> Iterator[_Layout]:
    """Yield the uniform grids that cover the range and hold the kinks."""
    first, last = kinks[0], kinks[-1]
    left, right = max(first - low, Fraction(0)), max(high - last, Fraction(0))
    for between in range(1, count) if last > first else (0,):
        fixed = (last - first) / between if between else None
        if fixed is not None and not _on_grid(kinks, fixed):
            continue
        for before in range(margin, count - between - margin):
            after = count - 1 - between - before
            if (left and not before) or (right and not after):
                continue
            needed = max(left / max(before, 1), right / max(after, 1))
            step = needed if fixed is None else fixed
            if step >= needed:
                yield _Layout(first, step, before, abs((before - after) * step - left + right))


def _on_grid(kinks: Sequence[Fraction], step: Fraction) -> bool:
    """Whether all kinks lie whole steps apart, and the step is a short enough number that the
    hinges there are the kinks themselves, not neighbours in the last place."""
    short = Fraction(torch.tensor(float(step), dtype=torch.bfloat16).item()) == step
    return short and all(((kink - kinks[0]) / step).denominator == 1 for kink in kinks)


def _exact_positions(layout: _Layout, count: int, dtype: torch.dtype) -> list[Fraction]:
    """Return the grid with its step rounded up so that every hinge is a number of `dtype`.

    A step of whole units, the spacing of `dtype` at the far end of the range, keeps the grid
    uniform to the last bit in `dtype` and in every wider one.
    """
    positions = layout.positions(count)
    for unit in _units(max(abs(positions[0]), abs(positions[-1])), dtype):
        exact = replace(layout, step=_round_up(layout.step, unit)).positions(count)
        if _representable(exact, dtype):
            return exact
    return positions


def _units(largest: Fraction, dtype: torch.dtype) -> Iterator[Fraction]:
    """Yield the distance of neighbouring numbers of `dtype` at `largest`, and behind it: rounding
    up may carry the last hinge into the next binades, where numbers lie twice as far apart."""
    exponent = math.frexp(float(largest))[1]
    unit = Fraction(torch.finfo(dtype).eps * 2.0 ** (exponent - 1))
    yield from (unit, 2 * unit, 4 * unit)


def _round_up(step: Fraction, unit: Fraction) -> Fraction:
    return math.ceil(step / unit) * unit


def _representable(positions: Sequence[Fraction], dtype: torch.dtype) -> bool:
    rounded = torch.tensor([float(p) for p in positions], dtype=torch.float64).to(dtype).tolist()
    return all(Fraction(r) == p for r, p in zip(rounded, positions, strict=True))


def _free_positions(
    count: int, low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int
) -> list[Fraction]:
    """Return the kinks, the ends and, always in the widest gap, as many more as were asked."""
    gap = (high - low) / (count - 1)
    positions = list(kinks)
    if margin or low < kinks[0]:
        positions.insert(0, low if low < kinks[0] else kinks[0] - gap)
    if margin or high > kinks[-1]:
        positions.append(high if high > kinks[-1] else kinks[-1] + gap)
    while len(positions) < count:
        gaps = [right - left for left, right in itertools.pairwise(positions)]
        widest = gaps.index(max(gaps))
        positions.insert(widest + 1, positions[widest] + gaps[widest] / 2)
    return positions


def _finish(positions: list[Fraction], dtype: torch.dtype) -> Tensor:
    floats = [float(position) for position in positions]
    hinges = torch.tensor(floats, dtype=torch.float64).to(dtype)
    if not hinges.isfinite().all():
        got = f"a range from {floats[0]:g} to {floats[-1]:g} in {dtype}"
        hint = "that dtype cannot reach so far: use a narrower range or float32"
        raise errors.ArgumentError(errors.message(f"{CALL}(range=...)", got, hint))
    if not (hinges.diff() > 0).all():
        got = f"{len(floats)} hinges from {floats[0]:g} to {floats[-1]:g} in {dtype}"
        hint = "that dtype cannot tell them apart: use fewer hinges, a wider range or float32"
        raise errors.ArgumentError(errors.message(f"{CALL}(hinges=...)", got, hint))
    return hinges
