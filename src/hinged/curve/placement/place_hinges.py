"""Where the hinges go, given how the inputs are distributed: evenly, by quantiles, or where they
lose least."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import TAILS, Curve
from hinged.curve.placement.refit import Refit, channels_of, distribution, refit
from hinged.curve.placement.uniform_grid import check_range, uniform_grid
from hinged.curve.reduction.search import Costs, chosen, forbid, piece_costs, search
from hinged.curve.start_functions import Start, resolve, sample

# There is a cost for every pair of candidates: 50 MB for 256 channels with 160 candidates.
_CHANNELS_AT_ONCE = 256
METHODS = ("uniform", "quantile", "search")
CALL = "hinged.curve.place_hinges"


def place_hinges(
    function: Start,
    positions: Tensor,
    shares: Tensor,
    hinges: int,
    *,
    method: str = "search",
    tails: str = "linear",
    candidates: int = 128,
    range: tuple[float, float] | None = None,
    kinks: Sequence[float] | None = None,
    common: bool = False,
) -> Refit:
    """Return the curve of `hinges` hinges for inputs that lie at `positions` with given `shares`.

    `"uniform"` spaces the hinges evenly, `"quantile"` puts equal shares of the inputs between
    them, `"search"` takes the positions that lose least: among all choices of `hinges` from the
    candidates (evenly spaced positions, quantiles, both grids of the other methods, kinks),
    dynamic programming finds the one whose *interpolant*, with its tails, has the least expected
    squared error. That much is exact; source: Bellman and Roth, "Curve fitting by segmented
    straight lines" (1969). Then, for every method, the values become the least-squares fit on the
    chosen hinges, which is not searched for; of the three fits the search returns the one that
    loses least, and so never loses more than the other two; where nothing is to be gained, as with
    a ReLU, it is the even one. Every kink of the function is a hinge. Hinges of a `Curve` are
    numbers of its dtype.

    Args:
        function: what the curve should be: a name, a callable on `(M, C)`, a module or a `Curve`.
        positions: where the inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`; channels without any
            are placed as if the inputs were evenly spread over the positions.
        hinges: number of hinges `K`.
        method: one of `METHODS`.
        tails: as in `Curve`.
        candidates: about how many positions the search chooses from; its time grows with the
            square, its memory too.
        range: first and last hinge, widened as the kinks need; the extremes of the inputs by
            default, within which the search may choose.
        kinks: positions that must be hinges; those the function is known to have by default.
        common: one row of hinges `(K,)` for all channels, for which each channel counts alike.

    Raises:
        ArgumentError: fewer hinges than the kinks need, or shapes that do not fit.
        UnknownNameError: an unknown function, method or kind of tails.

    >>> x = torch.linspace(-3, 3, 301)
    >>> even = place_hinges("gelu", x, torch.ones(1, 301), 5, method="uniform")
    >>> best = place_hinges("gelu", x, torch.ones(1, 301), 5)
    >>> [round(h, 1) for h in best.curve.hinges[0].tolist()], round((even.loss / best.loss).item())
    ([-1.6, -0.6, 0.0, 0.6, 1.6], 9)
    """
    if method not in METHODS:
        raise errors.unknown_name(f"{CALL}(method=...)", method, METHODS)
    if tails not in TAILS:
        raise errors.unknown_name(f"{CALL}(tails=...)", tails, TAILS)
    points, weights = distribution(CALL, positions, shares, channels_of(function))
    points, weights = _in_order(points, weights)
    held = tuple(resolve(function).kinks if kinks is None else kinks)
    ends = None if range is None else check_range(range)
    problem = _Problem(function, points, weights, hinges, tails, held, ends)
    with torch.no_grad():
        layout = problem.pooled() if common else problem
        grids = [layout.uniform()] if method != "quantile" else []
        grids += [layout.quantile()] if method != "uniform" else []
        fits = [problem.fit(grid[0] if common else grid) for grid in grids]
        if method == "search" and (fits[0].loss > problem.rounding()).any():
            found = problem.searched(layout.candidates(candidates))
            fits.append(problem.fit(found[0] if common else found))
        return (_least_of_all if common else _least)(fits, problem.rounding())


@dataclass(frozen=True)
class _Problem:
    """What `place` was asked, with points and weights `(C, P)` that ascend."""

    function: Start
    points: Tensor
    weights: Tensor
    count: int
    tails: str
    kinks: tuple[float, ...]
    range: tuple[float, float] | None

    @property
    def dtype(self) -> torch.dtype:
        return self.function.hinges.dtype if isinstance(self.function, Curve) else torch.float64

    def pooled(self) -> _Problem:
        """Return the problem of one channel that gets what all get."""
        points, order = self.points.reshape(1, -1).sort(dim=1)
        weights = self.weights.reshape(1, -1).gather(1, order) / len(self.weights)
        return replace(self, points=points, weights=weights)

    def fit(self, hinges: Tensor) -> Refit:
        exact = hinges.to(self.dtype).double()
        return refit(self.function, exact, self.points, self.weights, tails=self.tails)

    def ends(self) -> Tensor:
        """Return the range asked for, or that of the inputs, of some width also where they are one
        number, `(C, 2)`."""
        if self.range is not None:
            return self.points.new_tensor(self.range).expand(len(self.points), -1)
        seen = self.weights > 0
        low = self.points.masked_fill(~seen, torch.inf).amin(dim=1)
        high = self.points.masked_fill(~seen, -torch.inf).amax(dim=1)
        wide = high - low > 1e-5 * torch.maximum(low.abs(), high.abs())
        margin = torch.where(wide, 0.0, 0.5 * (1 + low.abs()))
        return torch.stack((low - margin, high + margin), dim=1)

    def rounding(self) -> Tensor:
        """Return the loss `(C,)` below which differences are rounding: a trillionth, squared."""
        targets = sample(resolve(self.function), self.points.T).T
        return 1e-24 * (self.weights * targets.square()).sum(dim=1)

    def uniform(self) -> Tensor:
        """Return even hinges `(C, K)` over the range, the kinks among them."""
        grids = [
            uniform_grid(self.count, row, kinks=self.kinks, tails=self.tails, dtype=self.dtype)
            for row in self.ends().tolist()
        ]
        return torch.stack(grids).to(self.points)

    def quantile(self) -> Tensor:
        """Return hinges `(C, K)`: the ends, the kinks, and the others so that they halve, or third
        and so on, the inputs between those; always where most inputs are for a hinge."""
        fixed = self.fixed()
        shares = _Distribution(self.points, self.weights, fixed[:, [0, -1]])
        levels = shares.below(fixed)
        counts = torch.zeros_like(levels[:, 1:], dtype=torch.long)
        for _ in range(self.count - fixed.shape[1]):
            crowded = (levels.diff(dim=1) / (counts + 1)).argmax(dim=1, keepdim=True)
            counts.scatter_add_(1, crowded, torch.ones_like(crowded))
        step = torch.arange(1, self.count + 1).to(levels) / (counts[..., None] + 1)
        level = torch.lerp(levels[:, :-1, None], levels[:, 1:, None], step)
        even = torch.lerp(fixed[:, :-1, None], fixed[:, 1:, None], step)
        # Where many inputs are one number, many quantiles are; a thousandth keeps them apart.
        between = torch.lerp(shares.at(level.flatten(1)), even.flatten(1), 1e-3)
        between = between.masked_fill((step >= 1).flatten(1), torch.inf)
        return torch.cat((fixed, between), dim=1).sort(dim=1).values[:, : self.count]

    def fixed(self) -> Tensor:
        """Return the kinks and what must lie beyond them, `(C, F)`: the ends of the range, or a
        step more where a kink is beyond those."""
        low, high = self.ends().unbind(dim=1)
        kinks = [torch.full_like(low, kink) for kink in sorted(self.kinks)]
        if not kinks:
            return torch.stack((low, high), dim=1)
        gap = (high - low) / max(self.count - 1, 1)
        if self.tails == "linear" or (low < kinks[0]).any():
            kinks.insert(0, torch.where(low < kinks[0], low, kinks[0] - gap))
        if self.tails == "linear" or (high > kinks[-1]).any():
            kinks.append(torch.where(high > kinks[-1], high, kinks[-1] + gap))
        if len(kinks) > self.count:
            hint = f"the kinks of the function and the ends of the range need {len(kinks)}"
            got = f"{self.count} hinge{'s' * (self.count != 1)}"
            raise errors.ArgumentError(errors.message(f"{CALL}(hinges=...)", got, hint))
        return torch.stack(kinks, dim=1)

    def candidates(self, count: int) -> Tensor:
        """Return some `count` positions and all those of the other methods, `(C, M)`, ascending."""
        ends = self.ends()
        steps = torch.linspace(0, 1, count // 2 + 1, dtype=torch.float64, device=ends.device)
        quantiles = _Distribution(self.points, self.weights, ends).at(steps.expand(len(ends), -1))
        even = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps
        parts = [self.fixed(), self.uniform(), self.quantile(), even, quantiles]
        own = self.function.hinges if isinstance(self.function, Curve) else None
        # Rows of many channels' own would be too many candidates for one common row.
        if own is not None and own.shape[:-1] in ((), (len(ends),)):
            parts.append(own.double().expand(len(ends), -1))
        places = torch.cat(parts, dim=1).sort(dim=1).values
        if self.range is None:
            return places
        # What must be the first and the last hinge become the outermost candidates.
        low, high = (self.fixed()[:, [end]] for end in (0, -1))
        return torch.minimum(torch.maximum(places, low), high)

    def searched(self, places: Tensor) -> Tensor:
        """Return the hinges among the candidates `(C, M)` whose interpolant loses least, `(C, K)`;
        for candidates `(1, M)` those that lose least in all channels together, `(1, K)`."""
        function = resolve(self.function)
        rows = places.expand(len(self.points), -1)
        targets, heights = (sample(function, x.T).T for x in (self.points, rows))
        tensors = (self.points, self.weights, targets, rows, heights)
        parts = zip(*(tensor.split(_CHANNELS_AT_ONCE) for tensor in tensors), strict=True)
        costs = (piece_costs(p, w, t, c, h, self.tails) for p, w, t, c, h in parts)
        if len(places) == 1:
            return self._best(functools.reduce(_sum, map(_summed, costs)), places)
        each = zip(costs, places.split(_CHANNELS_AT_ONCE), strict=True)
        return torch.cat([self._best(*pair) for pair in each])

    def _best(self, costs: Costs, places: Tensor) -> Tensor:
        costs = forbid(costs, places, self.kinks, self.tails, whole=self.range is not None)
        return places.gather(1, chosen(search(costs, self.count), self.count))


def _in_order(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return points that ascend with their weights, less those that count for nothing."""
    most = int((weights > 0).sum(dim=1).max())
    counting = (weights > 0).sort(dim=1, descending=True, stable=True).indices[:, :most]
    points, weights = points.gather(1, counting), weights.gather(1, counting)
    points, order = points.sort(dim=1)
    return points, weights.gather(1, order)


class _Distribution:
    """The share of the inputs below a position, as a curve and its inverse.

    The steps at the points are joined by straight lines, and a thousandth is spread evenly, so that
    the curve ascends strictly and its inverse is one number.
    """

    def __init__(self, points: Tensor, weights: Tensor, ends: Tensor) -> None:
        low, high = ends[:, :1], ends[:, 1:]
        inside = torch.minimum(torch.maximum(points, low), high)
        self.positions = torch.cat((low, inside, high), dim=1)
        middle = weights.cumsum(dim=1) - weights / 2
        below = torch.nn.functional.pad(middle, (1, 0))
        below = torch.cat((below, torch.ones_like(low)), dim=1)
        self.shares = 0.999 * below + 0.001 * (self.positions - low) / (high - low)

    def below(self, positions: Tensor) -> Tensor:
        """Return the share below each position, `(C, M)`."""
        return _interpolated(positions, self.positions, self.shares)

    def at(self, shares: Tensor) -> Tensor:
        """Return the position below which each share lies, `(C, M)`."""
        return _interpolated(shares, self.shares, self.positions)


def _interpolated(x: Tensor, knots: Tensor, heights: Tensor) -> Tensor:
    """Return the line through `knots` and `heights`, each `(C, P)`, at `x` `(C, M)`."""
    right = torch.searchsorted(knots.contiguous(), x.contiguous()).clamp(1, knots.shape[1] - 1)
    low, high = knots.gather(1, right - 1), knots.gather(1, right)
    t = ((x - low) / torch.where(high > low, high - low, 1.0)).clamp(0, 1)
    return torch.lerp(heights.gather(1, right - 1), heights.gather(1, right), t)


def _summed(costs: Costs) -> Costs:
    return Costs(*(each.sum(dim=0, keepdim=True) for each in costs))


def _sum(first: Costs, second: Costs) -> Costs:
    return Costs(*(one + other for one, other in zip(first, second, strict=True)))


def _least_of_all(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return the first of the fits that lose least in all channels together."""
    return min(fits, key=lambda fit: max(fit.loss.sum().item(), rounding.sum().item()))


def _least(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return, channel by channel, the first of the fits that lose least."""
    best = torch.stack([fit.loss for fit in fits]).clamp(min=rounding).argmin(dim=0)
    each = torch.arange(len(best), device=best.device)

    def pick(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[best, each]

    curves = [fit.curve for fit in fits]
    slopes = [curve.tail_slopes for curve in curves if curve.tail_slopes is not None]
    hinges, values = (pick([getattr(c, name) for c in curves]) for name in ("hinges", "values"))
    curve = Curve(hinges, values, curves[0].tails, pick(slopes) if slopes else None)
    return Refit(curve, pick([fit.loss for fit in fits]), pick([fit.error for fit in fits]))
