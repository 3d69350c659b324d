"""Where the hinges go: uniform grids that keep every kink of a function on a hinge."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import check_hinges

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
    low, high = check_range(range)
    kinks = sorted(set(kinks))
    margin = 1 if tails == "linear" else 0
    _check_count(count, kinks, margin)
    if not kinks:
        return _finish(_without_kinks(low, high, count, dtype), dtype)
    layouts = _layouts(count, low, high, kinks, margin)
    found = min(layouts, key=lambda layout: (layout.step, layout.unevenness), default=None)
    if found is None:
        return _finish(_free_positions(count, low, high, kinks, margin), dtype)
    return _finish(_exact_positions(found, count, dtype), dtype)


def check_range(range: Sequence[float]) -> tuple[float, float]:
    """Return `(low, high)` as floats, or raise `ArgumentError` where they span nothing."""
    call = f"{CALL}(range=...)"
    try:
        low, high = (float(end) for end in range)
    except (TypeError, ValueError):
        cure = "expected two numbers (low, high)"
        raise errors.ArgumentError(errors.sentence(call, repr(range), cure)) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        cure = "expected finite numbers with low < high"
        raise errors.ArgumentError(errors.sentence(call, f"({low:g}, {high:g})", cure))
    return low, high


@dataclass(frozen=True)
class _Layout:
    """Hinge `index` lies at `origin`, the others `step` apart."""

    origin: float
    step: float
    index: int
    unevenness: float = 0.0

    def positions(self, count: int) -> list[float]:
        return [self.origin + (k - self.index) * self.step for k in range(count)]


def _check_count(count: int, kinks: Sequence[float], margin: int) -> None:
    call = f"{CALL}(hinges=...)"
    if isinstance(count, bool) or not isinstance(count, int):
        cure = "expected a whole number of hinges, or the positions as a tensor"
        raise errors.ArgumentError(errors.sentence(call, repr(count), cure))
    if count < 2:
        came = f"{count} hinge{'s' * (count != 1)}"
        raise errors.ArgumentError(errors.sentence(call, came, "a curve needs at least 2"))
    needed = len(kinks) + 2 * margin
    if kinks and count < needed:
        where = ", ".join(f"{kink:g}" for kink in kinks)
        cure = f"a function with a kink at {where} needs at least {needed}" + (
            " with linear tails: a hinge at each kink and one beyond on each side" * margin
        )
        raise errors.ArgumentError(errors.sentence(call, f"{count} hinges", cure))


def _without_kinks(low: float, high: float, count: int, dtype: torch.dtype) -> list[float]:
    for unit in _units(max(abs(low), abs(high)), dtype):
        origin = math.floor(low / unit) * unit
        layout = _Layout(origin, _round_up((high - origin) / (count - 1), unit), 0)
        if _representable(layout.positions(count), dtype):
            return layout.positions(count)
    return _Layout(low, (high - low) / (count - 1), 0).positions(count)


def _layouts(
    count: int, low: float, high: float, kinks: Sequence[float], margin: int
) -> Iterator[_Layout]:
    """Yield the uniform grids that cover the range and hold the kinks."""
    first, last = kinks[0], kinks[-1]
    left, right = max(first - low, 0.0), max(high - last, 0.0)
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
            # Room for rounding in the divisions; a real shortfall is far larger.
            if step >= needed * (1 - 1e-12):
                yield _Layout(first, step, before, abs((before - after) * step - left + right))


def _on_grid(kinks: Sequence[float], step: float) -> bool:
    """Whether all kinks lie whole steps apart, and the step is a short enough number that the
    hinges there are the kinks themselves, not neighbours in the last place."""
    short = float(torch.tensor(step, dtype=torch.bfloat16)) == step
    return short and all(((kink - kinks[0]) / step).is_integer() for kink in kinks)


def _exact_positions(layout: _Layout, count: int, dtype: torch.dtype) -> list[float]:
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


def _units(largest: float, dtype: torch.dtype) -> Iterator[float]:
    """Yield the distance of neighbouring numbers of `dtype` at `largest`, and behind it: rounding
    up may carry the last hinge into the next binades, where numbers lie twice as far apart."""
    exponent = math.frexp(largest)[1]
    unit = torch.finfo(dtype).eps * 2.0 ** (exponent - 1)
    yield from (unit, 2 * unit, 4 * unit)


def _round_up(step: float, unit: float) -> float:
    return math.ceil(step / unit * (1 - 1e-15)) * unit


def _representable(positions: Sequence[float], dtype: torch.dtype) -> bool:
    exact = torch.tensor(positions, dtype=torch.float64)
    return bool((exact.to(dtype).double() == exact).all())


def _free_positions(
    count: int, low: float, high: float, kinks: Sequence[float], margin: int
) -> list[float]:
    """Return the kinks, the ends and, always in the widest gap, as many more as were asked."""
    width = high - low
    positions = list(kinks)
    if margin or low < kinks[0]:
        positions.insert(0, low if low < kinks[0] else kinks[0] - width / (count - 1))
    if margin or high > kinks[-1]:
        positions.append(high if high > kinks[-1] else kinks[-1] + width / (count - 1))
    while len(positions) < count:
        gaps = [right - left for left, right in itertools.pairwise(positions)]
        widest = gaps.index(max(gaps))
        positions.insert(widest + 1, positions[widest] + gaps[widest] / 2)
    return positions


def _finish(positions: list[float], dtype: torch.dtype) -> Tensor:
    hinges = torch.tensor(positions, dtype=torch.float64).to(dtype)
    if not (hinges.diff() > 0).all():
        came = f"{len(positions)} hinges from {positions[0]:g} to {positions[-1]:g} in {dtype}"
        cure = "that dtype cannot tell them apart: use fewer hinges, a wider range or float32"
        raise errors.ArgumentError(errors.sentence(f"{CALL}(hinges=...)", came, cure))
    check_hinges(hinges, f"{CALL}(range=...)")
    return hinges
