"""Counts of the inputs on each line of a curve. A line is a piece between hinges, or a tail."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.model.observation.channel_rows import (
    channel_rows,
    check_same_shape,
    replace_unless,
    split_rows,
)
from hinged.model.observation.mergeable import Mergeable, concatenate_channels

CALL = "hinged.model.LineCounts"


@dataclass(frozen=True, eq=False)
class LineCounts(Mergeable):
    """How many inputs of each channel fell on each line of its curve.

    The `K + 1` lines of a curve with `K` hinges are the left tail, the pieces between neighbouring
    hinges, and the right tail.

    Attributes:
        counts: the number of inputs on each line, shape `(C, K + 1)`, int64. An input at a hinge
            counts for the line on its right. NaN is not counted.

    >>> x = torch.tensor([[-2.0], [0.5], [0.7], [9.0]])
    >>> found = LineCounts.of(x, torch.tensor([-1.0, 0.0, 1.0]))
    >>> found.counts, found.share_outside
    (tensor([[1, 0, 2, 1]]), tensor([0.5000], dtype=torch.float64))
    """

    counts: Tensor

    @classmethod
    def of(cls, x: Tensor, hinges: Tensor, channels: int = 1, dim: int = 1) -> LineCounts:
        """Return the counts of a batch.

        Args:
            x: the batch. Axis `dim` has `channels` entries. With `channels=1`, any shape is
                allowed.
            hinges: the positions of the hinges, shape `(K,)` or `(C, K)`.
            channels: the number of channels `C`. With 1, all numbers belong to one channel.
            dim: the channel axis of `x`.

        Raises:
            ArgumentError: if axis `dim` does not have `channels` entries.
        """
        parts = split_rows(channel_rows(x, channels, dim, f"{CALL}.of(x)"))
        positions = hinges.detach().expand(channels, -1).split([len(rows) for rows in parts])
        return concatenate_channels(
            [cls._of_rows(*both) for both in zip(parts, positions, strict=True)]
        )

    @classmethod
    def _of_rows(cls, rows: Tensor, hinges: Tensor) -> LineCounts:
        channels, stride = len(rows), hinges.shape[1] + 2  # The lines, and a bin for NaN.
        wide = torch.promote_types(rows.dtype, torch.float32)
        lines = torch.searchsorted(hinges.to(wide).contiguous(), rows.to(wide), right=True)
        lines = replace_unless(lines, ~rows.isnan(), stride - 1)
        first = torch.arange(channels, device=rows.device)[:, None] * stride
        counts = torch.bincount((lines + first).flatten(), minlength=channels * stride)
        return cls(counts.view(channels, stride)[:, :-1].clone())

    def merge(self, other: LineCounts) -> LineCounts:
        """Return the sums of the counts of `self` and of `other`.

        Raises:
            ArgumentError: if they have different numbers of channels or lines.
        """
        check_same_shape(f"{CALL}.merge", self.counts, other.counts)
        return LineCounts(self.counts + other.counts)

    def pooled(self) -> LineCounts:
        """Return the counts of all channels together, as one channel."""
        return LineCounts(self.counts.sum(dim=0, keepdim=True))

    @property
    def total(self) -> Tensor:
        """The number of counted inputs of each channel, shape `(C,)`."""
        return self.counts.sum(dim=1)

    @property
    def shares(self) -> Tensor:
        """The fraction of the inputs on each line, shape `(C, K + 1)`, float64.

        The fractions are 0 for a channel without inputs.
        """
        return self.counts / self.total.clamp(min=1)[:, None].double()

    @property
    def share_outside(self) -> Tensor:
        """The fraction of the inputs on the two tails, shape `(C,)`, float64."""
        return self.shares[:, 0] + self.shares[:, -1]

    @property
    def never_hit(self) -> Tensor:
        """Whether each line has no inputs, shape `(C, K + 1)`, bool."""
        return self.counts == 0
