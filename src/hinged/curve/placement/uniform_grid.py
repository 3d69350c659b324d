"""The function `uniform_grid`, which returns evenly spaced hinges with a hinge at every kink."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import check_hinge_count

CALL = "hinged.curve.uniform_grid"


def uniform_grid(
    hinges: int,
    range: Sequence[float] = (-3.0, 3.0),
    *,
    kinks: Sequence[float] = (),
    tails: str = "linear",
    dtype: torch.dtype = torch.float32,
    call: str = CALL,
) -> Tensor:
    """Return evenly spaced hinges that cover a range, with a hinge at every kink of a function.

    The hinges may cover more than `range`, but as little more as possible. There are three reasons:

    * A hinge must lie at each kink.
    * With linear tails, the first and the last piece continue outside the range. One more hinge
      must therefore lie beyond the outermost kink on each side.
    * The spacing must be exact in `dtype`. For this purpose the spacing grows by a few units in the
      last place.

    The spacing is uneven if no uniform grid with this number of hinges has a hinge at every kink.

    Args:
        hinges: number of hinges `K`, at least 2.
        range: the interval to cover, `(low, high)`, in units of the input.
        kinks: positions where the function changes its slope, in units of the input.
        tails: the tails of the later curve: `"linear"`, `"constant"` or `"free"`.
        dtype: dtype of the hinges.
        call: name of the function that the user called, for error messages.

    Returns:
        Ascending hinges of shape `(K,)` in `dtype`.

    Raises:
        ArgumentError: if `hinges` is not an integer or is less than the kinks need, if `range` has
            no width, or if two hinges are the same number in `dtype`.

    >>> uniform_grid(5, (-1.0, 2.0), kinks=[0.0])
    tensor([-1.,  0.,  1.,  2.,  3.])
    """
    low, high = (Fraction(end) for end in check_range(range, call))
    exact_kinks = [Fraction(kink) for kink in sorted(set(kinks))]
    margin = 1 if tails == "linear" else 0
    _check_count(hinges, exact_kinks, _hinges_outside_kinks(low, high, exact_kinks, margin), call)
    count = int(hinges)
    if not exact_kinks:
        return _as_tensor(_positions_without_kinks(low, high, count, dtype), dtype, call)
    grids = _grids_with_kinks(count, low, high, exact_kinks, margin)
    best = min(grids, key=lambda grid: (grid.step, grid.asymmetry), default=None)
    if best is None:
        return _as_tensor(_uneven_positions(count, low, high, exact_kinks, margin), dtype, call)
    return _as_tensor(_exact_positions(best, count, dtype), dtype, call)


def check_range(range: Sequence[float], call: str) -> tuple[float, float]:
    """Return `(low, high)` as floats, or raise `ArgumentError` unless `low < high` and both are
    finite.

    Args:
        range: the two numbers that the user passed.
        call: name of the function that the user called, for the error message.
    """
    call = f"{call}(range=...)"
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
class _Grid:
    """A uniform grid in exact fractions.

    Fractions are needed, because a step in float64 has a rounding error. This error can be as large
    as the later change of the step by `_exact_positions`.

    Attributes:
        origin: position of the hinge with the number `index`.
        step: distance between neighbouring hinges.
        index: number of the hinge at `origin`, counted from 0.
        asymmetry: absolute difference between the lengths by which the grid exceeds the range on
            the left and on the right.
    """

    origin: Fraction
    step: Fraction
    index: int
    asymmetry: Fraction = Fraction(0)

    def positions(self, count: int) -> list[Fraction]:
        """Return the positions of the first `count` hinges."""
        return [self.origin + (k - self.index) * self.step for k in range(count)]


def _hinges_outside_kinks(
    low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int
) -> int:
    """Return the number of hinges that must lie left and right of all kinks: 0, 1 or 2.

    Hinges outside the kinks are needed to cover the range, and on both sides if `margin` is 1.
    """
    if not kinks:
        return 0
    return int(margin or low < kinks[0]) + int(margin or high > kinks[-1])


def _check_count(count: int, kinks: Sequence[Fraction], outside: int, call: str) -> None:
    """Raise `ArgumentError` unless the number of hinges is an integer and large enough."""
    call = f"{call}(hinges=...)"
    if not errors.is_whole_number(count):
        hint = "expected a whole number of hinges, or the positions as a tensor"
        raise errors.ArgumentError(errors.message(call, repr(count), hint))
    check_hinge_count(count, call)
    needed = len(kinks) + outside
    if count < needed:
        where = ", ".join(f"{float(kink):g}" for kink in kinks)
        hint = (
            f"a function with a kink at {where} needs at least {needed}: one at each kink, and one "
            "more on each side where the range or a linear tail continues beyond the kinks"
        )
        raise errors.ArgumentError(errors.message(call, f"{count} hinges", hint))


def _positions_without_kinks(
    low: Fraction, high: Fraction, count: int, dtype: torch.dtype
) -> list[Fraction]:
    """Return evenly spaced positions that cover the range and are exact in the dtype."""
    for unit in _spacings(max(abs(low), abs(high)), dtype):
        origin = math.floor(low / unit) * unit
        step = _round_up((high - origin) / (count - 1), unit)
        positions = _Grid(origin, step, 0).positions(count)
        if _representable(positions, dtype):
            return positions
    return _Grid(low, (high - low) / (count - 1), 0).positions(count)


def _grids_with_kinks(
    count: int, low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int
) -> Iterator[_Grid]:
    """Yield the uniform grids that cover the range and have a hinge at every kink.

    Args:
        count: number of hinges.
        low: lower end of the range.
        high: upper end of the range.
        kinks: ascending positions that must be hinges.
        margin: least number of hinges beyond the outermost kinks on each side.
    """
    first, last = kinks[0], kinks[-1]
    left, right = max(first - low, Fraction(0)), max(high - last, Fraction(0))
    for between in range(1, count) if last > first else (0,):
        fixed = (last - first) / between if between else None
        if fixed is not None and not _is_step_between(kinks, fixed):
            continue
        for before in range(margin, count - between - margin):
            after = count - 1 - between - before
            if (left and not before) or (right and not after):
                continue
            needed = max(left / max(before, 1), right / max(after, 1))
            step = needed if fixed is None else fixed
            if step >= needed:
                yield _Grid(first, step, before, abs((before - after) * step - left + right))


def _is_step_between(kinks: Sequence[Fraction], step: Fraction) -> bool:
    """Return whether all kinks lie a whole number of steps apart, and the step is exact in
    bfloat16.

    A step with more digits is excluded, because its multiples could differ from the kinks by a
    rounding error.
    """
    short = Fraction(torch.tensor(float(step), dtype=torch.bfloat16).item()) == step
    return short and all(((kink - kinks[0]) / step).denominator == 1 for kink in kinks)


def _exact_positions(grid: _Grid, count: int, dtype: torch.dtype) -> list[Fraction]:
    """Return the positions of a grid with its step rounded up, so that each position is exact in
    `dtype`.

    The step becomes a multiple of the spacing of the numbers of `dtype` at the position farthest
    from 0. The grid is then exactly uniform in `dtype` and in every wider dtype.
    """
    positions = grid.positions(count)
    for unit in _spacings(max(abs(positions[0]), abs(positions[-1])), dtype):
        exact = replace(grid, step=_round_up(grid.step, unit)).positions(count)
        if _representable(exact, dtype):
            return exact
    return positions


def _spacings(largest: Fraction, dtype: torch.dtype) -> Iterator[Fraction]:
    """Yield the spacing of the numbers of `dtype` at `largest`, then twice and four times this
    spacing.

    The larger spacings are needed if rounding up moves the last hinge past a power of two, because
    the spacing doubles there.
    """
    exponent = math.frexp(float(largest))[1]
    unit = Fraction(torch.finfo(dtype).eps * 2.0 ** (exponent - 1))
    yield from (unit, 2 * unit, 4 * unit)


def _round_up(step: Fraction, unit: Fraction) -> Fraction:
    """Return the smallest multiple of `unit` that is at least `step`."""
    return math.ceil(step / unit) * unit


def _representable(positions: Sequence[Fraction], dtype: torch.dtype) -> bool:
    """Return whether every position is exact in the dtype."""
    rounded = torch.tensor([float(p) for p in positions], dtype=torch.float64).to(dtype).tolist()
    pairs = zip(rounded, positions, strict=True)
    return all(math.isfinite(r) and Fraction(r) == p for r, p in pairs)


def _uneven_positions(
    count: int, low: Fraction, high: Fraction, kinks: Sequence[Fraction], margin: int
) -> list[Fraction]:
    """Return unevenly spaced positions that include the kinks and the ends of the range.

    The widest gap is halved until there are `count` positions.
    """
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


def _as_tensor(positions: list[Fraction], dtype: torch.dtype, call: str) -> Tensor:
    """Return the positions as a tensor, or raise `ArgumentError` if the dtype cannot represent
    them."""
    floats = [float(position) for position in positions]
    hinges = torch.tensor(floats, dtype=torch.float64).to(dtype)
    if not hinges.isfinite().all():
        got = f"a range from {floats[0]:g} to {floats[-1]:g} in {dtype}"
        hint = "that dtype has no numbers this large: use a narrower range or float32"
        raise errors.ArgumentError(errors.message(f"{call}(range=...)", got, hint))
    if not (hinges.diff() > 0).all():
        got = f"{len(floats)} hinges from {floats[0]:g} to {floats[-1]:g} in {dtype}"
        hint = "that dtype cannot tell them apart: use fewer hinges, a wider range or float32"
        raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", got, hint))
    return hinges
