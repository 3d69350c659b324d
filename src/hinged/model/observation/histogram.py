"""What a stream of inputs was like, channel by channel, in bounded memory.

A summary is a handful of tensors. `of` makes one of a batch, `merge` one of two, so that batches,
data loaders and processes are put together by one and the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hinged import errors
from hinged.model.observation.mergeable import Summary, joined

# Widths of bins are powers of two; finer ones than 2 ** -60 are of no use to an activation.
_FINEST = -60
# A bin's number stays below 2 ** 40, so that it is exact in every type it passes through.
_INDEX_BITS = 40
_IN_CACHE = 2**18
"""Numbers looked at together on a CPU."""


def by_channel(x: Tensor, channels: int, dim: int = 1) -> Tensor:
    """Return `x` as `(C, M)`: the numbers of each channel in a row, all in one for one channel.

    Raises:
        ArgumentError: axis `dim` of `x` does not have `channels` entries.
    """
    if channels == 1:
        return x.detach().reshape(1, -1)
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"{tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on that axis"
        raise errors.ArgumentError(errors.message("hinged.model.observe", got, hint))
    return x.detach().movedim(dim, 0).reshape(channels, -1)


def _parts(rows: Tensor) -> list[Tensor]:
    """Return the rows in parts, one channel at least, whose intermediate results stay in a CPU's
    cache: large inputs of many channels take half the time."""
    together = _IN_CACHE // max(1, rows.shape[1]) if rows.is_cpu else len(rows)
    return [part.contiguous() for part in rows.split(max(1, together))]


@dataclass(frozen=True, eq=False)
class Moments(Summary):
    """Count, mean, spread and extremes of the finite numbers of each channel.

    Merged by the pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979), in float64: no large sums that cancel.

    Attributes:
        count: how many finite numbers, shape `(C,)`, int64.
        mean: their mean, 0 where there are none, shape `(C,)`, float64.
        squares: the sum of their squared differences from the mean, shape `(C,)`, float64.
        low: the smallest, infinity where there are none, shape `(C,)`, float64.
        high: the largest, minus infinity where there are none, shape `(C,)`, float64.
        lost: how many were NaN or infinite, shape `(C,)`, int64.

    >>> first, second = Moments.of(torch.tensor([[1.0], [3.0]])), Moments.of(torch.tensor([[8.0]]))
    >>> both = first.merge(second)
    >>> both.count.item(), both.mean.item(), both.high.item()
    (3, 4.0, 8.0)
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    low: Tensor
    high: Tensor
    lost: Tensor

    @classmethod
    def of(cls, x: Tensor, channels: int = 1, dim: int = 1) -> Moments:
        """Return the moments of a batch whose axis `dim` has `channels` entries."""
        return joined([cls._of(rows) for rows in _parts(by_channel(x, channels, dim))])

    @classmethod
    def _of(cls, rows: Tensor) -> Moments:
        finite = rows.isfinite()
        count = finite.sum(dim=1)
        numbers = _blanked(rows.double(), finite, 0.0)
        mean = numbers.sum(dim=1) / count.clamp(min=1)
        squares = _blanked(numbers - mean[:, None], finite, 0.0).square().sum(dim=1)
        low, high = _extremes(rows, finite)
        return cls(count, mean, squares, low, high, rows.shape[1] - count)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of what both have seen, up to rounding."""
        count = self.count + other.count
        share = other.count / count.clamp(min=1).double()
        apart = other.mean - self.mean
        between = apart.square() * (self.count * share)
        return Moments(
            count,
            self.mean + apart * share,
            self.squares + other.squares + between,
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
            self.lost + other.lost,
        )

    def pooled(self) -> Moments:
        """Return the moments of all channels together, as of one."""
        count, lost = self.count.sum(dim=0, keepdim=True), self.lost.sum(dim=0, keepdim=True)
        mean = (self.count * self.mean).sum(dim=0, keepdim=True) / count.clamp(min=1)
        squares = self.squares + self.count * (self.mean - mean).square()
        low, high = self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True)
        return Moments(count, mean, squares.sum(dim=0, keepdim=True), low, high, lost)

    @property
    def std(self) -> Tensor:
        """Standard deviation of the numbers seen, dividing by their count, shape `(C,)`."""
        return (self.squares / self.count.clamp(min=1)).sqrt()


def _blanked(rows: Tensor, kept: Tensor, value: float) -> Tensor:
    """Return the rows with a value in place of what is not kept; on a CPU as they are where all is,
    since filling takes longer than looking."""
    return rows if rows.is_cpu and kept.all() else rows.masked_fill(~kept, value)


def _extremes(rows: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    if rows.shape[1] == 0:
        nothing = torch.full(rows.shape[:1], torch.inf, dtype=torch.float64, device=rows.device)
        return nothing, -nothing
    low = _blanked(rows, finite, torch.inf).amin(dim=1)
    high = _blanked(rows, finite, -torch.inf).amax(dim=1)
    return low.double(), high.double()


@dataclass(frozen=True, eq=False)
class Histogram(Summary):
    """Counts of the finite numbers of each channel in bins of equal width.

    Bin `j` of a channel covers `[(start + j) w, (start + j + 1) w)` with `w = 2 ** level`, and the
    level is the lowest at which all numbers seen fit. When the range grows, two neighbouring bins
    become one, which loses nothing but resolution. So the result depends on the numbers alone, not
    on their order or on how they were split up: merging is exact. The kink of a ReLU, 0, is always
    an edge.

    Attributes:
        counts: shape `(C, B)`, int64; at least half of the `B` bins span the numbers seen.
        level: exponent of the bins' width, shape `(C,)`, int64.
        start: number of the first bin, shape `(C,)`, int64.
        low: smallest number, infinity where there is none, shape `(C,)`, float64.
        high: largest number, minus infinity where there is none, shape `(C,)`, float64.

    >>> seen = Histogram.of(torch.tensor([[-1.0], [0.5], [6.9]]), bins=8)
    >>> seen.edges()[0].tolist()
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    >>> seen.merge(Histogram.of(torch.tensor([[-9.0]]), bins=8)).counts
    tensor([[1, 0, 1, 1, 1, 0, 0, 0]])
    """

    counts: Tensor
    level: Tensor
    start: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, x: Tensor, channels: int = 1, dim: int = 1, *, bins: int = 512) -> Histogram:
        """Return the histogram of a batch whose axis `dim` has `channels` entries.

        Raises:
            ArgumentError: `bins` is no power of two from 2 to 65536, or the axis does not fit.
        """
        if bins not in [2**power for power in range(1, 17)]:
            hint = "expected a power of two, 2 to 65536"
            raise errors.ArgumentError(
                errors.message("hinged.model.Histogram.of(bins=...)", repr(bins), hint)
            )
        return joined([cls._of(rows, bins) for rows in _parts(by_channel(x, channels, dim))])

    @classmethod
    def _of(cls, rows: Tensor, bins: int) -> Histogram:
        channels = len(rows)
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        finite = rows.isfinite()
        low, high = _extremes(rows, finite)
        level, start = _layout(low, high, bins)
        first = torch.arange(channels, device=rows.device) * bins
        scale = power_of_two(-level).to(rows.dtype)
        places = (_blanked(rows, finite, 0.0) * scale[:, None]).floor_().long()
        places = _blanked(places.add_((first - start)[:, None]), finite, channels * bins)
        counts = torch.bincount(places.flatten(), minlength=channels * bins)[: channels * bins]
        return cls(counts.view(channels, bins), level, start, low, high)

    def merge(self, other: Histogram) -> Histogram:
        """Return the histogram of what both have seen, exactly.

        Raises:
            ArgumentError: they have different numbers of channels or bins.
        """
        _check_alike("hinged.model.Histogram.merge", self.counts, other.counts)
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        level, start = _layout(low, high, self.counts.shape[1])
        counts = self._counts_at(level, start) + other._counts_at(level, start)
        return Histogram(counts, level, start, low, high)

    def pooled(self) -> Histogram:
        """Return the histogram of all channels together, as of one, exactly."""
        low, high = self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True)
        level, start = _layout(low, high, self.counts.shape[1])
        counts = self._counts_at(level, start).sum(dim=0, keepdim=True)
        return Histogram(counts, level, start, low, high)

    def _counts_at(self, level: Tensor, start: Tensor) -> Tensor:
        """Return the counts in wider bins, of which the first has another number."""
        bins = self.counts.shape[1]
        numbers = self.start[:, None] + torch.arange(bins, device=self.start.device)
        # Beyond 62 a shift is undefined; a number of 40 bits is 0 or -1 long before.
        shift = (level - self.level).clamp(max=62)[:, None]
        places = (numbers >> shift) - start[:, None]
        # Only empty bins can fall outside.
        return torch.zeros_like(self.counts).scatter_add(1, places.clamp(0, bins - 1), self.counts)

    @property
    def width(self) -> Tensor:
        """Width of the bins of each channel, shape `(C,)`, float64."""
        return power_of_two(self.level)

    def edges(self) -> Tensor:
        """Return the edges of the bins, shape `(C, B + 1)`, float64."""
        steps = torch.arange(self.counts.shape[1] + 1, device=self.counts.device)
        return (self.start[:, None] + steps) * self.width[:, None]

    def points(self) -> tuple[Tensor, Tensor]:
        """Return the middle of every bin and its share of the numbers seen, each `(C, B)`.

        This is the distribution that `hinged.curve.place_hinges` and `refit` take. The middles of the
        outermost bins are moved inside the numbers seen; shares are 0 where nothing was seen.
        """
        edges = self.edges()
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        seen = (self.low <= self.high)[:, None]
        inside = torch.minimum(torch.maximum(middles, self.low[:, None]), self.high[:, None])
        total = self.counts.sum(dim=1, keepdim=True).clamp(min=1).double()
        occupied = seen & (self.counts > 0)
        return torch.where(occupied, inside, middles), self.counts / total

    def share_outside(self, low: float, high: float) -> Tensor:
        """Return the share of each channel's numbers outside of `[low, high]`, shape `(C,)`, to
        the width of a bin."""
        middles, shares = self.points()
        return (shares * ((middles < low) | (middles > high))).sum(dim=1)

    def quantiles(self, shares: Sequence[float] | Tensor) -> Tensor:
        """Return the quantiles of each channel, shape `(C, Q)`, float64; NaN where none was seen.

        A quantile is right to within the width of a bin: inside one, numbers are taken as evenly
        spread.

        Raises:
            ArgumentError: a share below 0 or above 1.
        """
        wanted = torch.as_tensor(shares, dtype=torch.float64, device=self.counts.device)
        if not ((wanted >= 0) & (wanted <= 1)).all():
            hint = "expected shares from 0 to 1"
            call = "hinged.model.Histogram.quantiles(shares=...)"
            raise errors.ArgumentError(errors.message(call, str(wanted.tolist()), hint))
        below = self.counts.cumsum(dim=1).double()
        goal = wanted * below[:, -1:]
        place = torch.searchsorted(below, goal).clamp(max=below.shape[1] - 1)
        inside = self.counts.gather(1, place).double()
        part = 1 - (below.gather(1, place) - goal) / inside.clamp(min=1)
        found = (self.start[:, None] + place + part.clamp(0, 1)) * self.width[:, None]
        found = torch.minimum(torch.maximum(found, self.low[:, None]), self.high[:, None])
        return found.masked_fill((self.low > self.high)[:, None], torch.nan)


def _layout(low: Tensor, high: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Return the lowest level at which `[low, high]` fits into `bins` bins, and the first bin.

    `(high - low) / bins` is within a factor of four of the width sought; dividing by a power of two
    first is exact and cannot overflow.
    """
    seen = low <= high
    low, high = low.masked_fill(~seen, 0.0), high.masked_fill(~seen, 0.0)
    guess = _exponent(high / bins - low / bins) - 1
    coarse = _exponent(torch.maximum(low.abs(), high.abs())) - (_INDEX_BITS - 1)
    least = torch.maximum(guess, coarse).clamp(min=_FINEST)
    levels = least[:, None] + torch.arange(4, device=low.device)
    first, last = (_bin_number(end[:, None], levels) for end in (low, high))
    step = (last - first < bins).long().argmax(dim=1, keepdim=True)
    return levels.gather(1, step).squeeze(1), first.gather(1, step).squeeze(1)


def _exponent(x: Tensor) -> Tensor:
    """Return the exponent of each number, perhaps one off near powers of two."""
    return x.clamp(min=2.0 ** (_FINEST - 1)).log2().floor().long()


def _bin_number(x: Tensor, level: Tensor) -> Tensor:
    return (x * power_of_two(-level)).floor().long()


def power_of_two(exponent: Tensor) -> Tensor:
    """Return `2 ** exponent` in float64, exactly, for int64 exponents from -1022 to 1023.

    Written into the number's bits: `exp2` and `pow` are exact on some machines only.
    """
    return ((exponent + 1023) << 52).view(torch.float64)


@dataclass(frozen=True, eq=False)
class LineCounts(Summary):
    """How many inputs of each channel fell on each line: left tail, pieces, right tail.

    Attributes:
        counts: shape `(C, K + 1)`, int64; NaN is not counted. An input at a hinge belongs to the
            line on its right, as in evaluation.

    >>> x = torch.tensor([[-2.0], [0.5], [0.7], [9.0]])
    >>> seen = LineCounts.of(x, torch.tensor([-1.0, 0.0, 1.0]))
    >>> seen.counts, seen.share_outside
    (tensor([[1, 0, 2, 1]]), tensor([0.5000], dtype=torch.float64))
    """

    counts: Tensor

    @classmethod
    def of(cls, x: Tensor, hinges: Tensor, channels: int = 1, dim: int = 1) -> LineCounts:
        """Return the counts of a batch for `hinges` `(K,)` or `(C, K)`."""
        parts = _parts(by_channel(x, channels, dim))
        positions = hinges.detach().expand(channels, -1).split([len(rows) for rows in parts])
        return joined([cls._of(*both) for both in zip(parts, positions, strict=True)])

    @classmethod
    def _of(cls, rows: Tensor, hinges: Tensor) -> LineCounts:
        channels, stride = len(rows), hinges.shape[1] + 2  # A channel's lines, and a place for NaN.
        wide = torch.promote_types(rows.dtype, torch.float32)
        lines = torch.searchsorted(hinges.to(wide).contiguous(), rows.to(wide), right=True)
        lines = _blanked(lines, ~rows.isnan(), stride - 1)
        first = torch.arange(channels, device=rows.device)[:, None] * stride
        counts = torch.bincount((lines + first).flatten(), minlength=channels * stride)
        return cls(counts.view(channels, stride)[:, :-1].clone())

    def merge(self, other: LineCounts) -> LineCounts:
        """Return the counts of both.

        Raises:
            ArgumentError: they have different numbers of channels or lines.
        """
        _check_alike("hinged.model.LineCounts.merge", self.counts, other.counts)
        return LineCounts(self.counts + other.counts)

    @property
    def total(self) -> Tensor:
        """How many inputs each channel saw, shape `(C,)`."""
        return self.counts.sum(dim=1)

    @property
    def shares(self) -> Tensor:
        """Share of the inputs on each line, shape `(C, K + 1)`, float64; 0 where none were seen."""
        return self.counts / self.total.clamp(min=1)[:, None].double()

    @property
    def share_outside(self) -> Tensor:
        """Share of the inputs on the two tails, shape `(C,)`, float64."""
        return self.shares[:, 0] + self.shares[:, -1]

    @property
    def never_hit(self) -> Tensor:
        """Which lines no input fell on, shape `(C, K + 1)`, bool."""
        return self.counts == 0


def _check_alike(call: str, first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        got = f"counts of shapes {tuple(first.shape)} and {tuple(second.shape)}"
        raise errors.ArgumentError(errors.message(call, got, "both must be of one layer"))
