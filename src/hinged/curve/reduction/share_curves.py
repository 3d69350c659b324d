"""Channels that can share a curve."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve

CALL = "hinged.curve.share_curves"


class Shared(NamedTuple):
    """Fewer curves for the same channels.

    Attributes:
        curve: one curve for each group, values `(G, K)`.
        group: which group each channel is in, shape `(C,)`, int64; the largest group is 0.
        error: largest absolute difference of each channel from its group's curve over the range,
            shape `(C,)`.
    """

    curve: Curve
    group: Tensor
    error: Tensor

    def spread(self) -> Curve:
        """Return a curve of `C` channels again, each with its group's values."""
        slopes = None if self.curve.tail_slopes is None else self.curve.tail_slopes[self.group]
        return Curve(self.curve.hinges, self.curve.values[self.group], self.curve.tails, slopes)


def share_curves(curve: Curve, tolerance: float) -> Shared:
    """Return curves for groups of channels, each channel within `tolerance` of its group's.

    The fewest groups are as hard to find as the smallest cover of a set. This is the greedy cover:
    the channel with the most others within the tolerance takes them along, and so on, which needs
    at most `1 + log(C)` times as many groups as the best choice of such channels. One group is
    found wherever one will do, half-way between all. Source: Chvatal,
    "A greedy heuristic for the set-covering problem" (1979). Then a group's values are half-way
    between its largest and smallest, which are the nearest to all.

    Args:
        curve: `C` channels on the same hinges `(K,)`.
        tolerance: largest absolute difference over the range, in units of the values. Slopes of
            free tails are bounded by the same number.

    Raises:
        ArgumentError: a negative tolerance, or hinges that differ by channel.

    >>> values = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.1, 1.0], [5.0, 0.0, 5.0]])
    >>> share_curves(Curve(torch.tensor([-1.0, 0.0, 1.0]), values), 0.1).group
    tensor([0, 0, 1])
    """
    if not tolerance >= 0:
        hint = "expected 0 or more"
        raise errors.ArgumentError(errors.message(f"{CALL}(tolerance=...)", repr(tolerance), hint))
    if curve.hinges.dim() == 2 and curve.hinges.shape[0] != 1:
        got = f"hinges of shape {tuple(curve.hinges.shape)}"
        hint = "channels can share a curve where they share their hinges: expected (K,)"
        raise errors.ArgumentError(errors.message(f"{CALL}(curve)", got, hint))
    with torch.no_grad():
        rows = curve.values
        if curve.tail_slopes is not None:
            rows = torch.cat((rows, curve.tail_slopes), dim=1)
        group = _greedy_cover(rows, tolerance)
        centres = _halfway(rows, group)
        count = curve.values.shape[1]
        slopes = None if curve.tail_slopes is None else centres[:, count:]
        shared = Curve(curve.hinges.detach(), centres[:, :count], curve.tails, slopes)
        error = (curve.values - shared.values[group]).abs().amax(dim=1)
        return Shared(shared, group, error)


def _greedy_cover(rows: Tensor, tolerance: float) -> Tensor:
    """Return the group of each row `(C,)`."""
    middle = _halfway(rows, torch.zeros(len(rows), dtype=torch.long, device=rows.device))
    centres = torch.cat((middle, rows))
    near = torch.stack([((rows - row).abs() <= tolerance).all(dim=1) for row in centres])
    group = torch.full((len(rows),), -1, dtype=torch.long, device=rows.device)
    counts = near.sum(dim=1)
    for number in range(len(rows)):
        taken = near[counts.argmax()] & (group < 0)
        group[taken] = number
        if (group >= 0).all():
            break
        counts = counts - near[:, taken].sum(dim=1)
    return group


def _halfway(rows: Tensor, group: Tensor) -> Tensor:
    """Return half-way between the smallest and the largest of each group, `(G, K)`."""
    shape = (int(group.max()) + 1, rows.shape[1])
    place = group[:, None].expand_as(rows)
    low = rows.new_empty(shape).scatter_reduce(0, place, rows, "amin", include_self=False)
    high = rows.new_empty(shape).scatter_reduce(0, place, rows, "amax", include_self=False)
    return low + (high - low) / 2
