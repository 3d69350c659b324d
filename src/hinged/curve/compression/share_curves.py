"""The function `share_curves`, which replaces similar curves of several channels by one curve."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve

CALL = "hinged.curve.share_curves"


class SharedCurves(NamedTuple):
    """The result of `share_curves`: one curve for each of `G` groups of channels.

    Attributes:
        curve: a `Curve` with `G` channels, one per group, and values of shape `(G, K)`.
        group: index of the group of each original channel, shape `(C,)`, int64. Group 0 is the
            largest group.
        error: largest absolute difference between each original channel and the curve of its group,
            from the first to the last hinge, shape `(C,)`.
    """

    curve: Curve
    group: Tensor
    error: Tensor

    def expand(self) -> Curve:
        """Return a curve of `C` channels in which each channel has the values of its group."""
        slopes = None if self.curve.tail_slopes is None else self.curve.tail_slopes[self.group]
        return Curve(self.curve.hinges, self.curve.values[self.group], self.curve.tails, slopes)


def share_curves(curve: Curve, tolerance: float) -> SharedCurves:
    """Divide the channels of a curve into groups, and return one curve for each group.

    The curve of a group differs from every channel of the group by at most `tolerance`. Its values
    are midway between the largest and the smallest values of the group, because the largest
    difference is then least.

    The groups are formed by a greedy cover. The channel with the most other channels within the
    tolerance forms a group with them. This is repeated for the remaining channels. If one group is
    enough, one group is found. Otherwise the number of groups is at most `1 + log(C)` times the
    least possible number of groups that each lie within the tolerance of one channel. To find this
    least number is a set-cover problem, which is too slow to solve exactly.

    Source: Chvatal, "A greedy heuristic for the set-covering problem" (1979).

    Args:
        curve: a curve of `C` channels that have the same hinges, shape `(K,)`.
        tolerance: largest allowed absolute difference from the first to the last hinge, in units of
            the values. For free tails, it also limits the difference of the tail slopes.

    Returns:
        A `SharedCurves` object with one curve per group, the group of each channel, and the errors.

    Raises:
        ArgumentError: if the tolerance is negative, or if the hinges differ between channels.

    >>> values = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.1, 1.0], [5.0, 0.0, 5.0]])
    >>> share_curves(Curve(torch.tensor([-1.0, 0.0, 1.0]), values), 0.1).group
    tensor([0, 0, 1])
    """
    if not tolerance >= 0:
        hint = "expected 0 or more"
        raise errors.ArgumentError(errors.message(f"{CALL}(tolerance=...)", repr(tolerance), hint))
    if curve.hinges.dim() == 2 and curve.hinges.shape[0] != 1:
        got = f"hinges of shape {tuple(curve.hinges.shape)}"
        hint = (
            "channels can share a curve only if they share their hinges: expected (K,), "
            "one row of K hinges for all channels"
        )
        raise errors.ArgumentError(errors.message(f"{CALL}(curve)", got, hint))
    with torch.no_grad():
        rows = curve.values
        if curve.tail_slopes is not None:
            rows = torch.cat((rows, curve.tail_slopes), dim=1)
        group = _greedy_cover(rows, tolerance)
        centres = _middle_of_groups(rows, group)
        count = curve.values.shape[1]
        slopes = None if curve.tail_slopes is None else centres[:, count:]
        shared = Curve(curve.hinges.detach(), centres[:, :count], curve.tails, slopes)
        error = (curve.values - shared.values[group]).abs().amax(dim=1)
        return SharedCurves(shared, group, error)


def _greedy_cover(rows: Tensor, tolerance: float) -> Tensor:
    """Divide rows into groups, and return the index of the group of each row, shape `(C,)`.

    Args:
        rows: values of each channel and slopes of its free tails, one row per channel.
        tolerance: largest allowed difference between a row and the middle of its group.
    """
    middle = _middle_of_groups(rows, torch.zeros(len(rows), dtype=torch.long, device=rows.device))
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


def _middle_of_groups(rows: Tensor, group: Tensor) -> Tensor:
    """Return the mean of the smallest and the largest value of each group, shape `(G, K)`."""
    shape = (int(group.max()) + 1, rows.shape[1])
    index = group[:, None].expand_as(rows)
    low = rows.new_empty(shape).scatter_reduce(0, index, rows, "amin", include_self=False)
    high = rows.new_empty(shape).scatter_reduce(0, index, rows, "amax", include_self=False)
    return low + (high - low) / 2
