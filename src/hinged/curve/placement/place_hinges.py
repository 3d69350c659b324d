"""The function `place_hinges`, which places hinges for a known distribution of inputs."""

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

# The losses of all pairs of candidates need 50 MB for 256 channels with 160 candidates.
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
    """Return a curve with a given number of hinges that approximates a function.

    The distribution of inputs is given by `positions` and `shares`. The loss is the expected
    squared error for this distribution. Three methods place the hinges:

    * `"uniform"` spaces the hinges evenly.
    * `"quantile"` places the hinges so that equal shares of the inputs lie between neighbours.
    * `"search"` chooses the hinges from a list of candidate positions, and compares the result with
      the two other methods.

    The candidates of the search are evenly spaced positions, quantiles, the hinges of the two other
    methods, and the kinks. Dynamic programming finds the choice whose interpolant has the least
    loss, tails included. The interpolant is the curve that equals the function at its hinges.
    Source: Bellman and Roth, "Curve fitting by segmented straight lines" (1969).

    Each method then fits the values by least squares. `"search"` returns the fit with the least
    loss of the three methods. If several fits have the same loss, as for a ReLU, the uniform hinges
    are the result.

    Every kink of the function is a hinge. If the function is a `Curve`, the hinges are exact in the
    dtype of that curve.

    Args:
        function: name of a start function such as `"relu"`, a Python function that maps a tensor
            `(M, C)`, with `M` inputs for each channel, to a tensor of the same shape, an
            `nn.Module`, or a `Curve`.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs. Only ratios matter. If all weights of a channel are 0, its input values get
            equal weights.
        hinges: number of hinges `K`.
        method: `"uniform"`, `"quantile"` or `"search"`.
        tails: outputs outside the range: `"linear"` (the first and last piece continue),
            `"constant"` (the first and last value continue) or `"free"` (slopes that are fitted
            too).
        candidates: approximate number of candidates of the search. Time and memory grow with its
            square.
        range: first and last hinge. Kinks may make this interval wider. If None, `"search"` may
            choose any positions from the lowest to the highest input, and the other methods use
            these two inputs as first and last hinge.
        kinks: positions that must be hinges; None uses the known kinks of the function.
        common: whether all channels have the same hinges, of shape `(K,)`. The search then
            minimises the sum of the losses of all channels.
        call: name of the function that the user called, for error messages.

    Returns:
        A `Refit` object with the curve in float64, its expected squared error and its largest
        error.

    Raises:
        ArgumentError: if there are fewer hinges than the kinks need, or if the shapes of
            `positions` and `shares` do not match.
        UnknownNameError: if the function, the method or the kind of tails is unknown.

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
    """The arguments of one call of `place_hinges`.

    Attributes:
        function: the function to approximate.
        points: the positions of the inputs, ascending, shape `(C, P)`.
        weights: the fraction of the inputs at each position, shape `(C, P)`; each row sums to 1.
        count: number of hinges `K`.
        tails: kind of tails: `"linear"`, `"constant"` or `"free"`.
        kinks: positions that must be hinges.
        range: first and last hinge, or None for the range of the inputs.
        call: name of the function that the user called, for error messages.
    """

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
        """The dtype that must represent the hinges without rounding."""
        curve = self.function.curve
        return torch.float64 if curve is None else curve.hinges.dtype

    def pool_channels(self) -> _Placement:
        """Return the placement for a single channel that has the inputs of all channels."""
        points, order = self.points.reshape(1, -1).sort(dim=1)
        weights = self.weights.reshape(1, -1).gather(1, order) / len(self.weights)
        return replace(self, points=points, weights=weights)

    def fit(self, hinges: Tensor) -> Refit:
        """Return the least-squares fit with the given hinges."""
        exact = hinges.to(self.dtype).double()
        return refit(
            self.function, exact, self.points, self.weights, tails=self.tails, call=self.call
        )

    def ends(self) -> Tensor:
        """Return the interval that the hinges cover, shape `(C, 2)`.

        This is the given range or, without a range, the interval from the lowest to the highest
        input. If all inputs of a channel are almost equal, its interval is widened.
        """
        if self.range is not None:
            return self.points.new_tensor(self.range).expand(len(self.points), -1)
        has_inputs = self.weights > 0
        low = self.points.masked_fill(~has_inputs, torch.inf).amin(dim=1)
        high = self.points.masked_fill(~has_inputs, -torch.inf).amax(dim=1)
        wide = high - low > 1e-5 * torch.maximum(low.abs(), high.abs())
        margin = torch.where(wide, 0.0, 0.5 * (1 + low.abs()))
        return torch.stack((low - margin, high + margin), dim=1)

    def rounding_loss(self) -> Tensor:
        """Return the loss that rounding can cause, shape `(C,)`.

        The loss corresponds to a relative error of 1e-12 of the outputs.
        """
        targets = sample(self.function, self.points.T).T
        return 1e-24 * (self.weights * targets.square()).sum(dim=1)

    def uniform(self) -> Tensor:
        """Return evenly spaced hinges, with a hinge at every kink, shape `(C, K)`."""
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
        """Return hinges at the ends, the kinks, and quantiles of the inputs, shape `(C, K)`.

        The ends and kinks divide the inputs into intervals. Each further hinge goes to the interval
        with the most inputs per piece. The hinges inside an interval divide its inputs into equal
        shares.
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
        # Equal inputs have equal quantiles. A thousandth of an even spacing keeps the hinges apart.
        between = torch.lerp(distribution.quantiles(level.flatten(1)), even.flatten(1), 1e-3)
        between = between.masked_fill((step >= 1).flatten(1), torch.inf)
        return torch.cat((fixed, between), dim=1).sort(dim=1).values[:, : self.count]

    def required(self) -> Tensor:
        """Return the positions that must be hinges, shape `(C, F)`.

        Without kinks, these are the two ends of the range. With kinks, these are all kinks. One
        more position is added on each side where the tails are linear or the range continues beyond
        the kinks. The position is the end of the range if that lies beyond the kinks. Otherwise it
        lies beyond the outermost kink at a distance of `1 / (K - 1)` of the range.
        """
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
            hint = f"the kinks of the function and the ends of the range need {len(kinks)} hinges"
            got = f"{self.count} hinge{'s' * (self.count != 1)}"
            raise errors.ArgumentError(errors.message(f"{self.call}(hinges=...)", got, hint))
        return torch.stack(kinks, dim=1)

    def candidates(self, count: int) -> Tensor:
        """Return the candidate positions of the search, ascending, shape `(C, M)`.

        About `count` of them are evenly spaced positions and quantiles. The others are the hinges
        of the methods `"uniform"` and `"quantile"`, the kinks, and the hinges of the function if it
        is a `Curve`.
        """
        ends = self.ends()
        steps = torch.linspace(0, 1, count // 2 + 1, dtype=torch.float64, device=ends.device)
        distribution = _Distribution(self.points, self.weights, ends)
        quantiles = distribution.quantiles(steps.expand(len(ends), -1))
        even = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps
        parts = [self.required(), self.uniform(), self.quantile(), even, quantiles]
        given = None if self.function.curve is None else self.function.curve.hinges
        # Different hinges of many channels would be too many candidates for a common row.
        if given is not None and given.shape[:-1] in ((), (len(ends),)):
            parts.append(given.double().expand(len(ends), -1))
        positions = torch.cat(parts, dim=1).sort(dim=1).values
        if self.range is None:
            return positions
        # The first and the last hinge are fixed, so no candidate may lie outside them.
        low, high = (self.required()[:, [end]] for end in (0, -1))
        return torch.minimum(torch.maximum(positions, low), high)

    def search(self, candidates: Tensor) -> Tensor:
        """Return the candidates whose interpolant has the least loss, shape `(C, K)`.

        Args:
            candidates: ascending positions, shape `(C, M)`. If the shape is `(1, M)`, the result
                has shape `(1, K)` and minimises the sum of the losses of all channels.
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
        """Return the `K` candidate positions with the smallest loss for each channel, `(C, K)`."""
        losses = exclude_pieces(
            losses, candidates, self.kinks, self.tails, fixed_ends=self.range is not None
        )
        return candidates.gather(1, best_subset(search_subsets(losses, self.count), self.count))


def _sorted_inputs(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points in ascending order and their weights, both of shape `(C, P)`.

    Points of weight 0 are dropped. The new `P` is the largest number of points with a positive
    weight in any channel.
    """
    most = int((weights > 0).sum(dim=1).max())
    counting = (weights > 0).sort(dim=1, descending=True, stable=True).indices[:, :most]
    points, weights = points.gather(1, counting), weights.gather(1, counting)
    points, order = points.sort(dim=1)
    return points, weights.gather(1, order)


class _Distribution:
    """The cumulative distribution of the inputs and its inverse, as piecewise-linear functions.

    Straight lines replace the jumps of the cumulative distribution at the input values. One
    thousandth of the weight is spread evenly over the range. The function therefore ascends
    strictly and has a unique inverse.

    Args:
        points: input values, ascending, shape `(C, P)`.
        weights: share of each input value, shape `(C, P)`.
        ends: first and last position of the distribution, shape `(C, 2)`.
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
        """Return the fraction of inputs below each position, shape `(C, M)`."""
        return _interpolate(positions, self.positions, self.shares)

    def quantiles(self, shares: Tensor) -> Tensor:
        """Return the positions below which the given fractions of the inputs lie, `(C, M)`."""
        return _interpolate(shares, self.shares, self.positions)


def _interpolate(x: Tensor, knots: Tensor, heights: Tensor) -> Tensor:
    """Return the outputs at `x` of the piecewise-linear function through the given points.

    Args:
        x: inputs, shape `(C, M)`.
        knots: ascending input positions of the points, shape `(C, P)`.
        heights: outputs at the points, shape `(C, P)`.
    """
    right = torch.searchsorted(knots.contiguous(), x.contiguous()).clamp(1, knots.shape[1] - 1)
    low, high = knots.gather(1, right - 1), knots.gather(1, right)
    t = ((x - low) / torch.where(high > low, high - low, 1.0)).clamp(0, 1)
    return torch.lerp(heights.gather(1, right - 1), heights.gather(1, right), t)


def _best_for_all_channels(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return the fit with the least sum of the losses of all channels.

    If losses are equal except for rounding, the first fit is taken.
    """
    return min(fits, key=lambda fit: max(fit.loss.sum().item(), rounding.sum().item()))


def _best_by_channel(fits: list[Refit], rounding: Tensor) -> Refit:
    """Return a fit that consists, for each channel, of the fit with the least loss.

    If losses are equal except for rounding, the first fit is taken.
    """
    best = torch.stack([fit.loss for fit in fits]).clamp(min=rounding).argmin(dim=0)
    channel = torch.arange(len(best), device=best.device)

    def pick(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors)[best, channel]

    curves = [fit.curve for fit in fits]
    slopes = [curve.tail_slopes for curve in curves if curve.tail_slopes is not None]
    hinges, values = (pick([getattr(c, name) for c in curves]) for name in ("hinges", "values"))
    curve = Curve(hinges, values, curves[0].tails, pick(slopes) if slopes else None)
    return Refit(curve, pick([fit.loss for fit in fits]), pick([fit.error for fit in fits]))
