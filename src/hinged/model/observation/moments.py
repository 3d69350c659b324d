"""Count, mean, spread and extremes of the numbers of each channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.model.observation.channel_rows import (
    channel_rows,
    finite_extremes,
    replace_unless,
    split_rows,
)
from hinged.model.observation.mergeable import Mergeable, concatenate_channels

CALL = "hinged.model.Moments"


@dataclass(frozen=True, eq=False)
class Moments(Mergeable):
    """Count, mean, spread and extremes of the finite numbers of each channel.

    `merge` uses the pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979), in float64. It avoids differences of large
    sums, which would lose digits.

    Attributes:
        count: the number of finite numbers, shape `(C,)`, int64.
        mean: the mean of the finite numbers, shape `(C,)`, float64. It is 0 if there are none.
        squares: the sum of the squared differences from the mean, shape `(C,)`, float64.
        low: the smallest finite number, shape `(C,)`, float64. It is infinity if there are none.
        high: the largest finite number, shape `(C,)`, float64. It is minus infinity if there are
            none.
        nonfinite: the number of NaN and infinite numbers, shape `(C,)`, int64.

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
    nonfinite: Tensor

    @classmethod
    def of(cls, x: Tensor, channels: int = 1, dim: int = 1) -> Moments:
        """Return the moments of a batch.

        Args:
            x: the batch. Axis `dim` has `channels` entries. With `channels=1`, any shape is
                allowed.
            channels: the number of channels `C`. With 1, all numbers belong to one channel.
            dim: the channel axis of `x`.

        Raises:
            ArgumentError: if axis `dim` does not have `channels` entries.
        """
        rows = channel_rows(x, channels, dim, f"{CALL}.of(x)")
        return concatenate_channels([cls._of_rows(part) for part in split_rows(rows)])

    @classmethod
    def _of_rows(cls, rows: Tensor) -> Moments:
        finite = rows.isfinite()
        count = finite.sum(dim=1)
        numbers = replace_unless(rows.double(), finite, 0.0)
        mean = numbers.sum(dim=1) / count.clamp(min=1)
        squares = replace_unless(numbers - mean[:, None], finite, 0.0).square().sum(dim=1)
        low, high = finite_extremes(rows, finite)
        return cls(count, mean, squares, low, high, rows.shape[1] - count)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of all numbers that `self` or `other` describes, up to rounding."""
        count = self.count + other.count
        share = other.count / count.clamp(min=1).double()
        difference = other.mean - self.mean
        between = difference.square() * (self.count * share)
        return Moments(
            count,
            self.mean + difference * share,
            self.squares + other.squares + between,
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
            self.nonfinite + other.nonfinite,
        )

    def pooled(self) -> Moments:
        """Return the moments of all channels together, as one channel."""
        count = self.count.sum(dim=0, keepdim=True)
        nonfinite = self.nonfinite.sum(dim=0, keepdim=True)
        mean = (self.count * self.mean).sum(dim=0, keepdim=True) / count.clamp(min=1)
        squares = self.squares + self.count * (self.mean - mean).square()
        low, high = self.low.amin(dim=0, keepdim=True), self.high.amax(dim=0, keepdim=True)
        return Moments(count, mean, squares.sum(dim=0, keepdim=True), low, high, nonfinite)

    @property
    def std(self) -> Tensor:
        """Standard deviation with the count as the divisor, shape `(C,)`."""
        return (self.squares / self.count.clamp(min=1)).sqrt()
