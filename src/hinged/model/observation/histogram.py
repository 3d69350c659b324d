"""Histograms of the numbers of each channel, independent of the order of the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hinged import errors
from hinged.model.observation.channel_rows import (
    channel_rows,
    check_same_shape,
    finite_extremes,
    replace_unless,
    split_rows,
)
from hinged.model.observation.mergeable import Mergeable, concatenate_channels

CALL = "hinged.model.Histogram"
_FINEST = -60
"""Bins are at least `2 ** _FINEST` wide. Inputs of activations need no narrower bins."""
_INDEX_BITS = 40
"""The end of a bin, divided by the width of the bin, stays below `2 ** _INDEX_BITS`.

Integers up to this size are exact in float64.
"""


@dataclass(frozen=True, eq=False)
class Histogram(Mergeable):
    """Counts of the finite numbers of each channel, in `B` bins of equal width.

    The width of a channel's bins is a power of two, `w = 2 ** level`. Bin `j` covers the interval
    from `(start + j) w` (included) to `(start + j + 1) w` (excluded). The integers `level` and
    `start` are chosen for each channel. `level` is the smallest at which all numbers of the channel
    fit into `B` bins. When numbers outside the bins are added, the bins become wider by joining
    neighbouring bins in pairs.

    The result depends only on the numbers, not on their order or on their division into batches.
    Merging two histograms is therefore exact. If a bin contains 0, where a ReLU has its kink, 0 is
    its left end.

    Attributes:
        counts: the number of entries in each bin, shape `(C, B)`, int64. The numbers of a channel
            normally span at least half of the bins.
        level: the exponent of the width of the bins of each channel, shape `(C,)`, int64.
        start: the left end of the first bin of each channel, divided by the width, shape `(C,)`,
            int64.
        low: the smallest number, shape `(C,)`, float64. It is infinity for a channel without
            numbers.
        high: the largest number, shape `(C,)`, float64. It is minus infinity for a channel without
            numbers.

    >>> found = Histogram.of(torch.tensor([[-1.0], [0.5], [6.9]]), bins=8)
    >>> found.edges()[0].tolist()
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    >>> found.merge(Histogram.of(torch.tensor([[-9.0]]), bins=8)).counts
    tensor([[1, 0, 1, 1, 1, 0, 0, 0]])
    """

    counts: Tensor
    level: Tensor
    start: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, x: Tensor, channels: int = 1, dim: int = 1, *, bins: int = 512) -> Histogram:
        """Return the histogram of a batch.

        Args:
            x: the batch. Axis `dim` has `channels` entries. With `channels=1`, any shape is
                allowed.
            channels: the number of channels `C`. With 1, all numbers belong to one channel.
            dim: the channel axis of `x`.
            bins: the number of bins `B`, a power of two from 2 to 65536.

        Raises:
            ArgumentError: if `bins` is not such a power of two, or axis `dim` does not have
                `channels` entries.
        """
        if bins not in [2**power for power in range(1, 17)]:
            hint = "expected a power of two from 2 to 65536"
            raise errors.ArgumentError(errors.message(f"{CALL}.of(bins=...)", repr(bins), hint))
        rows = channel_rows(x, channels, dim, f"{CALL}.of(x)")
        return concatenate_channels([cls._of_rows(part, bins) for part in split_rows(rows)])

    @classmethod
    def _of_rows(cls, rows: Tensor, bins: int) -> Histogram:
        channels = len(rows)
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
        finite = rows.isfinite()
        low, high = finite_extremes(rows, finite)
        level, start = _layout(low, high, bins)
        first = torch.arange(channels, device=rows.device) * bins
        scale = _power_of_two(-level).to(rows.dtype)
        numbers = (replace_unless(rows, finite, 0.0) * scale[:, None]).floor_().long()
        numbers = numbers.add_((first - start)[:, None])
        # Numbers that are not finite are counted in an additional bin, which is dropped.
        numbers = replace_unless(numbers, finite, channels * bins).flatten()
        counts = torch.bincount(numbers, minlength=channels * bins)[: channels * bins]
        return cls(counts.view(channels, bins), level, start, low, high)

    def merge(self, other: Histogram) -> Histogram:
        """Return the exact histogram of the numbers of `self` and of `other` together.

        Raises:
            ArgumentError: if the histograms have different numbers of channels or bins.
        """
        check_same_shape(f"{CALL}.merge", self.counts, other.counts)
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        level, start = _layout(low, high, self.counts.shape[1])
        counts = self._counts_at(level, start) + other._counts_at(level, start)
        return Histogram(counts, level, start, low, high)

    def pooled(self) -> Histogram:
        """Return the exact histogram of all channels together, as one channel."""
        low, high = self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True)
        level, start = _layout(low, high, self.counts.shape[1])
        counts = self._counts_at(level, start).sum(dim=0, keepdim=True)
        return Histogram(counts, level, start, low, high)

    def _counts_at(self, level: Tensor, start: Tensor) -> Tensor:
        """Return the counts, shape `(C, B)`, for bins with the given `level` and `start`.

        The bins must be at least as wide as the present bins, and contain all numbers.
        """
        bins = self.counts.shape[1]
        numbers = self.start[:, None] + torch.arange(bins, device=self.start.device)
        # Shifts of int64 by more than 63 bits are undefined, so the shift is limited. The result is
        # right: an integer of 40 bits is 0 or -1 after every shift by more than 40 bits.
        shift = (level - self.level).clamp(max=62)[:, None]
        numbers = (numbers >> shift) - start[:, None]
        # Only empty bins are outside the new bins, so clamping moves no counts.
        return torch.zeros_like(self.counts).scatter_add(1, numbers.clamp(0, bins - 1), self.counts)

    @property
    def width(self) -> Tensor:
        """The width of the bins of each channel, shape `(C,)`, float64."""
        return _power_of_two(self.level)

    def edges(self) -> Tensor:
        """Return the edges of the bins of each channel, shape `(C, B + 1)`, float64."""
        steps = torch.arange(self.counts.shape[1] + 1, device=self.counts.device)
        return (self.start[:, None] + steps) * self.width[:, None]

    def points(self) -> tuple[Tensor, Tensor]:
        """Return the middle of every bin and its fraction of the numbers, two tensors `(C, B)`.

        `hinged.curve.place_hinges` and `hinged.curve.refit` take these tensors as the distribution
        of the inputs. Middles of bins with numbers are clamped to the interval from the smallest to
        the largest number. The fractions are 0 for a channel without numbers.
        """
        edges = self.edges()
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        nonempty = (self.low <= self.high)[:, None]
        inside = torch.minimum(torch.maximum(middles, self.low[:, None]), self.high[:, None])
        total = self.counts.sum(dim=1, keepdim=True).clamp(min=1).double()
        occupied = nonempty & (self.counts > 0)
        return torch.where(occupied, inside, middles), self.counts / total

    def share_outside(self, low: float, high: float) -> Tensor:
        """Return the fraction of each channel's numbers outside `[low, high]`, shape `(C,)`.

        Numbers in a bin count as lying at its middle.
        """
        middles, shares = self.points()
        return (shares * ((middles < low) | (middles > high))).sum(dim=1)

    def quantiles(self, shares: Sequence[float] | Tensor) -> Tensor:
        """Return quantiles of the numbers of each channel.

        The error of a quantile is at most the width of a bin. Within a bin, numbers are assumed to
        be evenly spread.

        Args:
            shares: `Q` fractions from 0 to 1, one for each quantile. For example, 0.5 means the
                median.

        Returns:
            The quantiles, shape `(C, Q)`, float64. They are NaN for a channel without numbers.

        Raises:
            ArgumentError: if a fraction is below 0 or above 1.
        """
        wanted = torch.as_tensor(shares, dtype=torch.float64, device=self.counts.device)
        if not ((wanted >= 0) & (wanted <= 1)).all():
            hint = "expected fractions from 0 to 1"
            call = f"{CALL}.quantiles(shares=...)"
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
    """Return `level` and `start` of a `Histogram` for numbers from `low` to `high`.

    `level` is the smallest at which these numbers fit into `bins` bins. Four levels are tried,
    beginning near `log2((high - low) / bins)`. `low` and `high` are divided by `bins`, a power of
    two, before the subtraction. This is exact and cannot overflow.
    """
    nonempty = low <= high
    low, high = low.masked_fill(~nonempty, 0.0), high.masked_fill(~nonempty, 0.0)
    guess = _exponent(high / bins - low / bins) - 1
    coarse = _exponent(torch.maximum(low.abs(), high.abs())) - (_INDEX_BITS - 1)
    least = torch.maximum(guess, coarse).clamp(min=_FINEST)
    levels = least[:, None] + torch.arange(4, device=low.device)
    first, last = (_bin_number(end[:, None], levels) for end in (low, high))
    step = (last - first < bins).long().argmax(dim=1, keepdim=True)
    return levels.gather(1, step).squeeze(1), first.gather(1, step).squeeze(1)


def _exponent(x: Tensor) -> Tensor:
    """Return `floor(log2(x))` of each positive number. It can be wrong by 1 near powers of two."""
    return x.clamp(min=2.0 ** (_FINEST - 1)).log2().floor().long()


def _bin_number(x: Tensor, level: Tensor) -> Tensor:
    return (x * _power_of_two(-level)).floor().long()


def _power_of_two(exponent: Tensor) -> Tensor:
    """Return `2 ** exponent` exactly, as float64, for int64 exponents from -1022 to 1023.

    The exponent is written into the bits of the number, because `exp2` and `pow` are not exact on
    every machine.
    """
    return ((exponent + 1023) << 52).view(torch.float64)
