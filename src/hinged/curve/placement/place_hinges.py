"""`place_hinges`: hinges for a known distribution of inputs: even, by quantiles, or least loss."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.compression.search import (
    PieceLosses,
    best_subset,
    exclude_pieces,
    piece_losses,
    search_subsets,
)
from hinged.curve.curve import TAILS, Curve
from hinged.curve.placement.refit import Refit, channels_of, input_distribution, refit
from hinged.curve.placement.uniform_grid import check_range, uniform_grid
from hinged.curve.start_functions import Start, StartFunction, resolve_start, sample

# There is a loss for every pair of candidates: 50 MB for 256 channels with 160 candidates.
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
    call: str = CALL,
) -> Refit:
    """Return the curve with this number of hinges for inputs at `positions` with these `shares`.

    There are three methods:

    * `"uniform"` spaces the hinges evenly.
    * `"quantile"` puts equal shares of the inputs between neighbouring hinges.
    * `"search"` finds the positions with the least loss. Its candidates are evenly spaced
      positions, quantiles, the hinges of the other two methods, and the kinks. Dynamic programming
      finds the choice of candidates with the least expected squared error of the *interpolant*,
      tails included; this is exact. Source: Bellman and Roth, "Curve fitting by segmented straight
      lines" (1969).

    In each method the values are then the least-squares fit on the chosen hinges. `"search"` does
    not search for the best fit; it returns the one of the three fits with the least loss. So it
    never loses more than the others, and if nothing can be gained, as with a ReLU, it returns the
    even hinges. Every kink of the function is a hinge. For a `Curve`, the hinges are numbers of its
    dtype.

    Args:
        function: a name, a callable on a tensor `(M, C)`, an `nn.Module` or a `Curve`.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many inputs lie there, in any unit, shape `(P,)` or `(C, P)`. For a channel
            without inputs, they count as evenly distributed over the positions.
        hinges: number of hinges `K`.
        method: one of `METHODS`.
        tails: as in `Curve`.
        candidates: approximate number of candidates of the search. Its time and its memory grow
            with the square.
        range: first and last hinge, widened as the kinks need. By default the search may choose any
            positions between the least and the greatest input, and the other methods use these two.
        kinks: positions that must be hinges; by default the known kinks of the function.
        common: whether all channels, with equal weights, share one row of hinges `(K,)`.
        call: the name of the user's call, for error messages.

    Raises:
        ArgumentError: fewer hinges than the kinks need, or shapes that do not match.
        UnknownNameError: an unknown function, method or kind of tails.

    >>> x = torch.linspace(-3, 3, 301)
    >>> even = place_hinges("gelu", x, torch.ones(1, 301), 5, method="uniform")
    >>> best = place_hinges("gelu", x, torch.ones(1, 301), 5)
    >>> [round(h, 1) for h in best.curve.hinges[0].tolist()], round((even.loss / best.loss).item())
    ([-1.6, -0.6, 0.0, 0.6, 1.6], 9)
    """
    if method not in METHODS:
        raise errors.unknown_name(f"{call}(method=...)", method, METHODS)
    if tails not in TAILS:
        raise errors.unknown_name(f"{call}(tails=...)", tails, TAILS)
    resolved = resolve_start(function, f"{call}(function=...)")
    points, weights = input_distribution(call, positions, shares, channels_of(resolved))
    points, weights = _sorted_inputs(points, weights)
    fixed = tuple(resolved.kinks if kinks is None else kinks)
    ends = None if range is None else check_range(range, call)
    placement = _Placement(resolved, points, weights, hinges, tails, fixed, ends, call)
    with torch.no_grad():
        shared = placement.pool_channels() if common else placement
        rows = [shared.uniform()] if method != "quantile" else []
        rows += [shared.quantile()] if method != "uniform" else []
        fits = [placement.fit(row[0] if common else row) for row in rows]
        if method == "search" and (fits[0].loss > placement.rounding_loss()).any():
            found = placement.search(shared.candidates(candidates))
            fits.append(placement.fit(found[0] if common else found))
        choose = _best_for_all_channels if common else _best_by_channel
        return choose(fits, placement.rounding_loss())


@dataclass(frozen=True)
class _Placement:
    """The arguments of one `place_hinges` call; points and weights are `(C, P)`, points ascend."""

    function: StartFunction
    points: Tensor
    weights: Tensor
    count: int
    tails: str
    kinks: tuple[float, ...]
    range: tuple[float, float] | None
    call: str

    @property
    def dtype(self) -> torch.dtype:
        curve = self.function.curve
        return torch.float64 if curve is None else curve.hinges.dtype

    def pool_channels(self) -> _Placement:
        """Return the placement for one channel that gets the inputs of all channels."""
        points, order = self.points.reshape(1, -1).sort(dim=1)
        weights = self.weights.reshape(1, -1).gather(1, order) / len(self.weights)
        return replace(self, points=points, weights=weights)

    def fit(self, hinges: Tensor) -> Refit:
        exact = hinges.to(self.dtype).double()
        return refit(
            self.function, exact, self.points, self.weights, tails=self.tails, call=self.call
        )

    def ends(self) -> Tensor:
        """Return the given range, or that of the inputs, `(C, 2)`. If all inputs of a channel are
        equal, its range is widened."""
        if self.range is not None:
            return self.points.new_tensor(self.range).expand(len(self.points), -1)
        has_inputs = self.weights > 0
        low = self.points.masked_fill(~has_inputs, torch.inf).amin(dim=1)
        high = self.points.masked_fill(~has_inputs, -torch.inf).amax(dim=1)
        wide = high - low > 1e-5 * torch.maximum(low.abs(), high.abs())
        margin = torch.where(wide, 0.0, 0.5 * (1 + low.abs()))
        return torch.stack((low - margin, high + margin), dim=1)

    def rounding_loss(self) -> Tensor:
        """Return the loss `(C,)` of an error of a trillionth of the values, which is rounding."""
        targets = sample(self.function, self.points.T).T
        return 1e-24 * (self.weights * targets.square()).sum(dim=1)

    def uniform(self) -> Tensor:
        """Return evenly spaced hinges `(C, K)` over the range, with a hinge at every kink."""
        grids = [
            uniform_grid(
                self.count,
                row,
                kinks=self.kinks,
                tails=self.tails,
                dtype=self.dtype,
                call=self.call,
            )
            for row in self.ends().tolist()
        ]
        return torch.stack(grids).to(self.points)

    def quantile(self) -> Tensor:
        """Return hinges `(C, K)`: the ends, the kinks, and quantiles between them.

        Each further hinge goes to the interval with the most inputs for each of its pieces. The
        hinges of an interval divide its inputs into equal shares.
        """
        fixed = self.required()
        distribution = _Distribution(self.points, self.weights, fixed[:, [0, -1]])
        levels = distribution.share_below(fixed)
        counts = torch.zeros_like(levels[:, 1:], dtype=torch.long)
        for _ in range(self.count - fixed.shape[1]):
            fullest = (levels.diff(dim=1) / (counts + 1)).argmax(dim=1, keepdim=True)
            counts.scatter_add_(1, fullest, torch.ones_like(fullest))
        step = torch.arange(1, self.count + 1).to(levels) / (counts[..., None] + 1)
        level = torch.lerp(levels[:, :-1, None], levels[:, 1:, None], step)
        even = torch.lerp(fixed[:, :-1, None], fixed[:, 1:, None], step)
        # Many equal inputs have many equal quantiles. A thousandth of the even step separates them.
        between = torch.lerp(distribution.quantiles(level.flatten(1)), even.flatten(1), 1e-3)
        between = between.masked_fill((step >= 1).flatten(1), torch.inf)
        return torch.cat((fixed, between), dim=1).sort(dim=1).values[:, : self.count]

    def required(self) -> Tensor:
        """Return the required hinges `(C, F)`: the kinks and, on each side where a hinge must lie
        beyond them, the end of the range or, if a kink lies beyond that, one step more."""
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
            raise errors.ArgumentError(errors.message(f"{self.call}(hinges=...)", got, hint))
        return torch.stack(kinks, dim=1)

    def candidates(self, count: int) -> Tensor:
        """Return `(C, M)` ascending: about `count` positions, and the hinges of other methods."""
        ends = self.ends()
        steps = torch.linspace(0, 1, count // 2 + 1, dtype=torch.float64, device=ends.device)
        distribution = _Distribution(self.points, self.weights, ends)
        quantiles = distribution.quantiles(steps.expand(len(ends), -1))
        even = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps
        parts = [self.required(), self.uniform(), self.quantile(), even, quantiles]
        given = None if self.function.curve is None else self.function.curve.hinges
        # For a common row, the different hinges of many channels would be too many candidates.
        if given is not None and given.shape[:-1] in ((), (len(ends),)):
            parts.append(given.double().expand(len(ends), -1))
        positions = torch.cat(parts, dim=1).sort(dim=1).values
        if self.range is None:
            return positions
        # The first and the last hinge are fixed, so they become the outermost candidates.
        low, high = (self.required()[:, [end]] for end in (0, -1))
        return torch.minimum(torch.maximum(positions, low), high)

    def search(self, candidates: Tensor) -> Tensor:
        """Return the hinges among the candidates `(C, M)` whose interpolant loses least, `(C, K)`.

        For candidates `(1, M)` the result is `(1, K)` and has the least sum of losses of all
        channels.
        """
        rows = candidates.expand(len(self.points), -1)
        targets, heights = (sample(self.function, x.T).T for x in (self.points, rows))
        tensors = (self.points, self.weights, targets, rows, heights)
        parts = zip(*(tensor.split(_CHANNELS_AT_ONCE) for tensor in tensors), strict=True)
        losses = (piece_losses(p, w, t, c, h, self.tails) for p, w, t, c, h in parts)
        if len(candidates) == 1:
            sums = (each.sum_over_channels() for each in losses)
            return self._best(functools.reduce(PieceLosses.plus, sums), candidates)
        each = zip(losses, candidates.split(_CHANNELS_AT_ONCE), strict=True)
        return torch.cat([self._best(*pair) for pair in each])

    def _best(self, losses: PieceLosses, candidates: Tensor) -> Tensor:
        losses = exclude_pieces(
            losses, candidates, self.kinks, self.tails, fixed_ends=self.range is not None
        )
        return candidates.gather(1, best_subset(search_subsets(losses, self.count), self.count))


def _sorted_inputs(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return ascending points and their weights, without points that have no weight anywhere."""
    most = int((weights > 0).sum(dim=1).max())
    counting = (weights > 0).sort(dim=1, descending=True, stable=True).indices[:, :most]
    points, weights = points.gather(1, counting), weights.gather(1, counting)
    points, order = points.sort(dim=1)
    return points, weights.gather(1, order)


class _Distribution:
    """The cumulative distribution of the inputs as a piecewise-linear function, and its inverse.

    Straight lines connect the steps at the points. A thousandth of the inputs is distributed
    evenly, so the function ascends strictly and its inverse is unique.
    """

    def __init__(self, points: Tensor, weights: Tensor, ends: Tensor) -> None:
        low, high = ends[:, :1], ends[:, 1:]
        inside = torch.minimum(torch.maximum(points, low), high)
        self.positions = torch.cat((low, inside, high), dim=1)
        middle = weights.cumsum(dim=1) - weights / 2
        below = torch.nn.functional.pad(middle, (1, 0))
        below = torch.cat((below, torch.ones_like(low)), dim=1)
        self.shares = 0.999 * below + 0.001 * (self.positions - low) / (high - low)

    def share_below(self, positions: Tensor) -> Tensor:
        """Return the share of inputs below each position, `(C, M)`."""
        return _interpolate(positions, self.positions, self.shares)

    def quantiles(self, shares: Tensor) -> Tensor:
        """Return the position below which each share of the inputs lies, `(C, M)`."""
        return _interpolate(shares, self.shares, self.positions)


def _interpolate(x: Tensor, knots: Tensor, heights: Tensor) -> Tensor:
    """Return the line through `knots` and `heights`, each `(C, P)`, at `x` `(C, M)`."""
    right = torch.searchsorted(knots.contiguous(), x.contiguous()).clamp(1, knots.shape[1] - 1)
    low, high = knots.gather(1, right - 1), knots.gather(1, right)
    t = ((x - low) / torch.where(high > low, high - low, 1.0)).clamp(0, 1)
    return torch.lerp(heights.gather(1, right - 1), heights.gather(1, right), t)


def _best_for_all_channels(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return the first of the fits with the least sum of losses."""
    return min(fits, key=lambda fit: max(fit.loss.sum().item(), rounding.sum().item()))


def _best_by_channel(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return, for each channel, the first of the fits with the least loss."""
    best = torch.stack([fit.loss for fit in fits]).clamp(min=rounding).argmin(dim=0)
    channel = torch.arange(len(best), device=best.device)

    def pick(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[best, channel]

    curves = [fit.curve for fit in fits]
    slopes = [curve.tail_slopes for curve in curves if curve.tail_slopes is not None]
    hinges, values = (pick([getattr(c, name) for c in curves]) for name in ("hinges", "values"))
    curve = Curve(hinges, values, curves[0].tails, pick(slopes) if slopes else None)
    return Refit(curve, pick([fit.loss for fit in fits]), pick([fit.error for fit in fits]))
