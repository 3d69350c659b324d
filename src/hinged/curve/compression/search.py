"""A search for the interpolant with the fewest hinges or the least loss.

The interpolant is the curve that equals a function at its hinges. The search chooses the hinges
from candidate positions by dynamic programming.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PieceLosses(NamedTuple):
    """The losses of all possible pieces of an interpolant.

    The loss of a piece is its contribution to the expected squared error. A piece goes from
    candidate position `a` to candidate position `b`. There are `M` candidates. An excluded piece
    has an infinite loss. The axes of each tensor are channel, `a` and `b`.

    Attributes:
        piece: loss between `a` and `b`, shape `(C, M, M)`.
        left: loss left of `a` if the piece is the first piece, shape `(C, M, M)`.
        right: loss right of `b` if the piece is the last piece, shape `(C, M, M)`.
    """

    piece: Tensor
    left: Tensor
    right: Tensor

    def sum_over_channels(self) -> PieceLosses:
        """Return the losses summed over all channels, shape `(1, M, M)` each."""
        return PieceLosses(*(each.sum(dim=0, keepdim=True) for each in self))

    def plus(self, other: PieceLosses) -> PieceLosses:
        """Return the sum of these losses and other losses of the same shape."""
        return PieceLosses(*(a + b for a, b in zip(self, other, strict=True)))


class SubsetSearch(NamedTuple):
    """The subsets of 2, 3, ..., `most` candidate positions with the least loss.

    Attributes:
        loss: least loss for each size of the subset, shape `(C, most - 1)`. It is infinite if no
            subset is possible.
        last_two: indices of the last two candidates of the best subset, shape `(C, most - 1, 2)`.
        previous: a tensor of shape `(C, M)` for each size. For a candidate that is the last of its
            subset, the entry is the index of the best candidate before it.
    """

    loss: Tensor
    last_two: Tensor
    previous: list[Tensor]


def piece_losses(
    points: Tensor,
    weights: Tensor,
    targets: Tensor,
    candidates: Tensor,
    heights: Tensor,
    tails: str,
) -> PieceLosses:
    """Return the loss of each possible piece between two candidate positions.

    The loss of a piece is its contribution to the expected squared error. The sums use coordinates
    that start at the left end of the piece. Therefore the rounding error of a large loss cannot
    hide a loss of 0. All pieces with the same left end share one cumulative sum.

    Args:
        points: input values, ascending, shape `(C, P)`.
        weights: share of the inputs at each input value, shape `(C, P)`.
        targets: outputs of the function at `points`, shape `(C, P)`.
        candidates: ascending candidate positions, shape `(C, M)`. Repetitions are allowed.
        heights: outputs of the function at `candidates`, shape `(C, M)`.
        tails: kind of tails: `"linear"`, `"constant"` or `"free"`.
    """
    ends = torch.searchsorted(points.contiguous(), candidates.contiguous())
    widths = candidates[:, None, :] - candidates[:, :, None]
    rises = heights[:, None, :] - heights[:, :, None]
    slopes = rises / torch.where(widths > 0, widths, 1.0)
    piece, left, right = (torch.empty_like(slopes) for _ in range(3))
    for a in range(candidates.shape[1]):
        x, y = points - candidates[:, a, None], targets - heights[:, a, None]
        squares = torch.stack((x * x, x * y, y * y)) * weights
        right_of = squares * (x >= 0)
        running = torch.nn.functional.pad(right_of.cumsum(dim=-1), (1, 0))
        sums = running.gather(2, ends.expand(3, -1, -1))
        piece[:, a] = _loss(sums, slopes[:, a])
        before, after = (squares - right_of).sum(dim=-1), running[..., -1]
        left[:, a] = _tail_loss(before[..., None], slopes[:, a], tails)
        right[:, :, a] = _tail_loss(after[..., None], slopes[:, :, a], tails)
    return PieceLosses(piece, left, right)


def _loss(sums: Tensor, slope: Tensor) -> Tensor:
    """Return the sum of `(y - slope x) ** 2`, computed from the sums of `x x`, `x y` and `y y`."""
    xx, xy, yy = sums
    loss: Tensor = yy - 2 * slope * xy + slope * slope * xx
    return loss.clamp(min=0)


def _tail_loss(sums: Tensor, slope: Tensor, tails: str) -> Tensor:
    """Return the loss of a tail, computed from the sums that `_loss` uses.

    A linear tail has the slope of the piece, a constant tail the slope 0, and a free tail the slope
    with the least loss.
    """
    if tails == "linear":
        return _loss(sums, slope)
    if tails == "constant":
        return sums[2].expand_as(slope)
    best = sums[1] / torch.where(sums[0] > 0, sums[0], 1.0)
    return _loss(sums, best).expand_as(slope)


def exclude_pieces(
    losses: PieceLosses,
    candidates: Tensor,
    kinks: tuple[float, ...],
    tails: str,
    *,
    fixed_ends: bool = False,
) -> PieceLosses:
    """Return the losses with an infinite loss for each piece that is not allowed.

    These pieces are not allowed:

    * pieces with a kink inside,
    * pieces without width, or narrower than a millionth of the largest candidate: both hinges could
      be the same number in float32,
    * first and last pieces whose tail would contain a kink,
    * with `fixed_ends`, first pieces that do not begin at the first candidate, and last pieces that
      do not end at the last candidate.

    Args:
        losses: the losses of all pieces.
        candidates: ascending candidate positions, shape `(C, M)`.
        kinks: positions where the function changes its slope.
        tails: kind of tails: `"linear"`, `"constant"` or `"free"`.
        fixed_ends: whether the first and the last candidate must be hinges.
    """
    widths = candidates[:, None, :] - candidates[:, :, None]
    largest = candidates.abs().amax(dim=1) + (candidates[:, -1] - candidates[:, 0])
    piece = widths <= 1e-6 * largest[:, None, None]
    a, b = candidates[:, :, None], candidates[:, None, :]
    left = ((a > a[:, :1]) & fixed_ends).expand_as(piece)
    right = ((b < b[..., -1:]) & fixed_ends).expand_as(piece)
    for kink in kinks:
        piece = piece | ((a < kink) & (kink < b))
        # A linear tail continues the first or last piece, so no kink may lie between the two.
        left = left | ((kink <= a) if tails == "linear" else (kink < a))
        right = right | ((kink >= b) if tails == "linear" else (kink > b))
    excluded = zip(losses, (piece, left, right), strict=True)
    return PieceLosses(*(loss.masked_fill(mask, torch.inf) for loss, mask in excluded))


def search_subsets(losses: PieceLosses, most: int) -> SubsetSearch:
    """Return the subsets of 2, 3, ..., `most` candidate positions with the least loss.

    For `M` candidates, the time per channel is proportional to `most * M ** 2`.
    """
    count = losses.piece.shape[-1]
    last_piece = losses.piece + losses.right
    least, last_two, previous = [], [], []
    so_far = losses.left
    for _ in range(most - 1):
        loss, index = (so_far + last_piece).flatten(1).min(dim=1)
        least.append(loss)
        last_two.append(torch.stack((index // count, index % count), dim=-1))
        reached, before = (so_far + losses.piece).min(dim=1)
        so_far = reached[:, :, None]
        previous.append(before)
    return SubsetSearch(torch.stack(least, dim=1), torch.stack(last_two, dim=1), previous)


def best_subset(subsets: SubsetSearch, count: int) -> Tensor:
    """Return the indices of the `count` candidates with the least loss, shape `(C, count)`."""
    indices = list(subsets.last_two[:, count - 2].unbind(-1))
    for before in reversed(subsets.previous[: count - 2]):
        indices.insert(0, before.gather(1, indices[0][:, None]).squeeze(1))
    return torch.stack(indices, dim=1)
