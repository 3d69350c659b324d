"""`share_curves`: one curve for several channels with similar curves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve

CALL = "hinged.curve.share_curves"


class SharedCurves(NamedTuple):
    """Fewer curves for the same channels.

    Attributes:
        curve: one curve for each group, values `(G, K)`.
        group: the group of each channel, shape `(C,)`, int64. Group 0 is the largest.
        error: largest absolute difference of each channel from its group's curve over the range,
            shape `(C,)`.
    """

    curve: Curve
    group: Tensor
    error: Tensor

    def expand(self) -> Curve:
        """Return a curve of `C` channels, each with the values of its group."""
        slopes = None if self.curve.tail_slopes is None else self.curve.tail_slopes[self.group]
        return Curve(self.curve.hinges, self.curve.values[self.group], self.curve.tails, slopes)


def share_curves(curve: Curve, tolerance: float) -> SharedCurves:
    """Return one curve for each group of channels, within `tolerance` of every channel in it.

    Finding the fewest groups is as hard as finding a smallest set cover. This is the greedy cover:
    the channel with the most others within the tolerance forms a group with them, and so on. It
    needs at most `1 + log(C)` times as many groups as the best choice of such channels. If one
    group is enough, one is found. Source: Chvatal, "A greedy heuristic for the set-covering
    problem" (1979). The values of a group are the middle between its largest and its smallest
    values, which minimises the largest difference.

    Args:
        curve: `C` channels on the same hinges `(K,)`.
        tolerance: largest absolute difference over the range, in units of the values. The same
            number limits the differences of free tails' slopes.

    Raises:
        ArgumentError: a negative tolerance, or hinges that differ between channels.

    >>> values = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.1, 1.0], [5.0, 0.0, 5.0]])
    >>> share_curves(Curve(torch.tensor([-1.0, 0.0, 1.0]), values), 0.1).group
    tensor([0, 0, 1])
    """
    if not tolerance >= 0:
        hint = "expected 0 or more"
        raise errors.ArgumentError(errors.message(f"{CALL}(tolerance=...)", repr(tolerance), hint))
    if curve.hinges.dim() == 2 and curve.hinges.shape[0] != 1:
        got = f"hinges of shape {tuple(curve.hinges.shape)}"
        hint = "channels can share a curve if they share their hinges: expected (K,)"
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
    """Return the group of each row `(C,)`."""
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
    """Return the middle between the smallest and the largest values of each group, `(G, K)`."""
    shape = (int(group.max()) + 1, rows.shape[1])
    index = group[:, None].expand_as(rows)
    low = rows.new_empty(shape).scatter_reduce(0, index, rows, "amin", include_self=False)
    high = rows.new_empty(shape).scatter_reduce(0, index, rows, "amax", include_self=False)
    return low + (high - low) / 2
