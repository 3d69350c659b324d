"""The class `Constraint`, which holds limits on curves, and functions that check curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.equivalent_forms import to_lines

Monotone = Literal["increasing", "decreasing"]
Bend = Literal["convex", "concave"]
CALL = "hinged.constrain"


@dataclass(frozen=True)
class Constraint:
    """Limits on the shape, the slopes and the outputs of a curve.

    The limits hold for all inputs, including inputs outside the range of the hinges. The curves
    that satisfy a constraint form a closed and convex set that is not empty.

    Args:
        monotone: `"increasing"` (the output never falls), `"decreasing"` (the output never rises),
            or None for no limit. True means `"increasing"`.
        lipschitz: largest absolute slope allowed, above 0; None for no limit.
        convex: `"convex"` (the slope never falls from left to right), `"concave"` (the slope never
            rises), or None for no limit. True means `"convex"`.
        bounds: lowest and highest output allowed, `(low, high)`. None in place of a number means no
            limit on that side.
        odd: whether the curve must satisfy `f(-x) = -f(x)`.

    Raises:
        ArgumentError: if an argument is invalid, or if the limits contradict each other.

    >>> Constraint(monotone=True, lipschitz=1.0)
    Constraint(monotone='increasing', lipschitz=1.0)
    >>> Constraint(odd=True, bounds=(1.0, 2.0))
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `hinged.constrain(...)`: got odd=True with bounds=(1.0, 2.0); \
an odd curve is 0 at 0: give bounds on both sides of 0.
    """

    monotone: Monotone | bool | None = None
    lipschitz: float | None = None
    convex: Bend | bool | None = None
    bounds: tuple[float | None, float | None] | None = None
    odd: bool = False

    def __post_init__(self) -> None:
        _set(
            self, "monotone", _check_choice("monotone", self.monotone, ("increasing", "decreasing"))
        )
        _set(self, "convex", _check_choice("convex", self.convex, ("convex", "concave")))
        _set(self, "lipschitz", _check_lipschitz(self.lipschitz))
        _set(self, "bounds", _check_bounds(self.bounds))
        _check_contradictions(self)
        if self.odd and self.bounds is not None:
            reach = min(-self.low, self.high)
            _set(self, "bounds", (-reach, reach))

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in vars(self).items() if value]
        return f"Constraint({', '.join(given)})"

    @property
    def empty(self) -> bool:
        """True if the constraint has no limit."""
        return not any(vars(self).values())

    @property
    def low(self) -> float:
        """The lowest output allowed; minus infinity if there is no limit."""
        return -math.inf if self.bounds is None or self.bounds[0] is None else self.bounds[0]

    @property
    def high(self) -> float:
        """The highest output allowed; infinity if there is no limit."""
        return math.inf if self.bounds is None or self.bounds[1] is None else self.bounds[1]

    @property
    def slopes(self) -> tuple[float, float]:
        """The lowest and the highest slope allowed for every piece and tail."""
        steepest = math.inf if self.lipschitz is None else self.lipschitz
        low = 0.0 if self.monotone == "increasing" else -steepest
        return low, 0.0 if self.monotone == "decreasing" else steepest

    @property
    def end_slopes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The lowest and the highest slope allowed for each tail: `((left), (right))`.

        A tail has infinite length. Its output must not run towards a bound on the outputs, because
        the output would exceed the bound somewhere.
        """
        low, high = self.slopes
        bounded_below, bounded_above = self.low > -math.inf, self.high < math.inf
        left = (max(low, 0.0) if bounded_above else low, min(high, 0.0) if bounded_below else high)
        right = (max(low, 0.0) if bounded_below else low, min(high, 0.0) if bounded_above else high)
        return left, right


def satisfies(curve: Curve, constraint: Constraint) -> Tensor:
    """Return whether each channel of a curve satisfies a constraint.

    The check has no tolerance. It tests the values at the hinges and the slopes of all pieces and
    tails. The slopes are computed as in the evaluation of the curve: in float32, or in float64 if
    the values are float64. Outputs between two hinges are not tested, so they can exceed a limit by
    rounding.

    Args:
        curve: the curve of `C` channels.
        constraint: the limits to check.

    Returns:
        A boolean tensor of shape `(C,)`.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> satisfies(relu, Constraint(convex=True)), satisfies(relu, Constraint(odd=True))
    (tensor([True]), tensor([False]))
    """
    values, slopes = curve.values.detach(), evaluation_slopes(curve)
    low, high = constraint.slopes
    allowed = ((slopes >= low) & (slopes <= high)).all(dim=-1)
    if constraint.convex is not None:
        rises = slopes.diff(dim=-1)
        allowed &= (rises >= 0 if constraint.convex == "convex" else rises <= 0).all(dim=-1)
    if constraint.bounds is not None:
        height = values.double()
        allowed &= ((height >= constraint.low) & (height <= constraint.high)).all(dim=-1)
        for end, (least, most) in zip((0, -1), constraint.end_slopes, strict=True):
            allowed &= (slopes[:, end] >= least) & (slopes[:, end] <= most)
    if constraint.odd:
        allowed &= (values == -values.flip(-1)).all(dim=-1) & (slopes[:, 0] == slopes[:, -1])
    return allowed


def evaluation_slopes(curve: Curve) -> Tensor:
    """Return the slopes of all pieces and tails, as the evaluation of the curve computes them.

    Returns:
        A float64 tensor of shape `(C, K + 1)` for `K` hinges: left tail, pieces, right tail.
    """
    wide = evaluation_dtype(curve)
    ends = None if curve.tail_slopes is None else curve.tail_slopes.detach().to(wide)
    cast = Curve(curve.hinges.to(wide), curve.values.detach().to(wide), curve.tails, ends)
    return to_lines(cast).slopes.double()


def evaluation_dtype(curve: Curve) -> torch.dtype:
    """Return the dtype in which the evaluation of the curve computes slopes: float32 or wider."""
    return torch.promote_types(curve.values.dtype, torch.float32)


def check_possible(constraint: Constraint, curve: Curve, call: str = CALL) -> None:
    """Raise `ArgumentError` if no curve with the given hinges and tails can satisfy a constraint.

    An error is also raised if only constant curves can satisfy the constraint.

    Args:
        constraint: the limits to check.
        curve: the curve that provides hinges, tails and dtype. Its values are not read.
        call: name of the function that the user called, for the error message.
    """
    count = curve.hinges.shape[-1]
    if constraint.odd and not (curve.hinges == -curve.hinges.flip(-1)).all():
        hint = "an odd curve needs hinges that lie symmetrically about 0, such as -1, 0, 1"
        raise _contradiction("odd=True with hinges that are not symmetric", hint, call)
    if constraint.convex is not None and curve.tails == "constant":
        hint = f'with constant tails only a flat line is {constraint.convex}: use tails="linear"'
        raise _contradiction(f"convex={constraint.convex!r} with tails='constant'", hint, call)
    flat = sum(ends == (0.0, 0.0) for ends in constraint.end_slopes)
    if curve.tails == "linear" and flat and count < 2 + flat:
        hint = (
            f"only a constant curve is possible: give {2 + flat} hinges or more, or constant tails"
        )
        raise _contradiction(
            f"{count} hinges and linear tails, which the limits force to be flat", hint, call
        )
    inside = torch.tensor([constraint.low, constraint.high], dtype=torch.float64)
    if (inside.diff() >= 0).all() and not _representable(constraint, curve.values.dtype):
        hint = "no number of that dtype lies between the bounds: use wider bounds or float32"
        raise _contradiction(f"bounds={constraint.bounds} in {curve.values.dtype}", hint, call)


def _representable(constraint: Constraint, dtype: torch.dtype) -> bool:
    """Return whether the dtype has a number from the lower to the upper bound of the constraint."""
    return rounded_up(constraint.low, dtype) <= -rounded_up(-constraint.high, dtype)


def rounded_up(bound: float, dtype: torch.dtype) -> float:
    """Return the smallest number of the given dtype that is at least `bound`."""
    return round_up(torch.tensor(bound, dtype=torch.float64), dtype).item()


def round_up(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the smallest numbers of the given dtype that are at least `numbers`, as float64."""
    info = torch.finfo(dtype)
    nearest = numbers.to(dtype).double()
    # The step is three quarters of a unit in the last place, so the sum rounds to the next number.
    step = (0.75 * info.eps * nearest.abs()).clamp(min=info.tiny)
    return torch.where(nearest >= numbers, nearest, (nearest + step).to(dtype).double())


def _set(constraint: Constraint, name: str, value: object) -> None:
    object.__setattr__(constraint, name, value)


def _check_choice(name: str, given: object, choices: tuple[str, str]) -> str | None:
    if given is None or given is False:
        return None
    if given is True:
        return choices[0]
    if given not in choices:
        raise errors.unknown_name(f"{CALL}({name}=...)", given, choices)
    return str(given)


def _check_lipschitz(steepest: float | None) -> float | None:
    if steepest is not None and not (isinstance(steepest, Real) and 0 < steepest < math.inf):
        hint = "expected a largest slope above 0, or None for no limit"
        call = f"{CALL}(lipschitz=...)"
        raise errors.ArgumentError(errors.message(call, errors.shown(steepest), hint))
    return None if steepest is None else float(steepest)


def _check_bounds(
    bounds: tuple[float | None, float | None] | None,
) -> tuple[float, float] | None:
    if bounds is None:
        return None
    try:
        low, high = bounds
        ends = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    except (TypeError, ValueError):
        ends = math.nan, math.nan
    if not (ends[0] < ends[1] and ends[0] < math.inf and ends[1] > -math.inf):
        hint = "expected (low, high) with low < high, and None in place of a missing bound"
        raise errors.ArgumentError(errors.message(f"{CALL}(bounds=...)", repr(bounds), hint))
    return None if ends == (-math.inf, math.inf) else ends


def _check_contradictions(constraint: Constraint) -> None:
    if constraint.odd and not constraint.low < 0 < constraint.high:
        hint = "an odd curve is 0 at 0: give bounds on both sides of 0"
        raise _contradiction(f"odd=True with bounds={constraint.bounds}", hint)
    if constraint.odd and constraint.convex is not None:
        hint = f"only a straight line is both odd and {constraint.convex}: leave out one of the two"
        raise _contradiction(f"odd=True with convex={constraint.convex!r}", hint)
    open_end = constraint.high if constraint.convex == "convex" else -constraint.low
    if constraint.convex is not None and open_end < math.inf:
        open_side = "above" if constraint.convex == "convex" else "below"
        hint = (
            f"only a constant function is both {constraint.convex} and bounded {open_side}: "
            f"leave it unbounded {open_side}, or leave out convex"
        )
        raise _contradiction(f"convex={constraint.convex!r} with bounds={constraint.bounds}", hint)


def _contradiction(got: str, hint: str, call: str = CALL) -> errors.ArgumentError:
    return errors.ArgumentError(errors.message(f"{call}(...)", got, hint))
