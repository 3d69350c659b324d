"""The interpolant with the fewest hinges, or the least error, by dynamic programming over
candidate positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Costs(NamedTuple):
    """What the interpolant of a function loses, piece by piece: expected squared error.

    Candidate `a` is the left and `b` the right end of a piece; infinite where no piece may be.

    Attributes:
        piece: loss between `a` and `b`, shape `(C, M, M)`.
        left: loss left of `a`, where that piece is the first, shape `(C, M, M)`.
        right: loss right of `b`, where that piece is the last, shape `(C, M, M)`.
    """

    piece: Tensor
    left: Tensor
    right: Tensor


class Choices(NamedTuple):
    """The best choices of 2 to `most` candidates.

    Attributes:
        loss: least loss for each count, shape `(C, most - 1)`, infinite where there is no choice.
        last: the last two candidates for each count, shape `(C, most - 1, 2)`.
        before: for each count but the last, which candidate best precedes each, `(C, M)` each.
    """

    loss: Tensor
    last: Tensor
    before: list[Tensor]


def piece_costs(
    points: Tensor,
    weights: Tensor,
    targets: Tensor,
    candidates: Tensor,
    heights: Tensor,
    tails: str,
) -> Costs:
    """Return what each piece between two candidates loses.

    Sums are taken in coordinates that begin at the piece's own end, so that pieces that lose
    nothing do not drown in the rounding of the others; all pieces from one end are one running sum.

    Args:
        points: where inputs lie, ascending, shape `(C, P)`.
        weights: shares of the inputs there, shape `(C, P)`.
        targets: the function there, shape `(C, P)`.
        candidates: ascending positions, repetitions allowed, shape `(C, M)`.
        heights: the function there, shape `(C, M)`.
        tails: as in `Curve`.
    """
    ends = torch.searchsorted(points.contiguous(), candidates.contiguous())
    widths = candidates[:, None, :] - candidates[:, :, None]
    rises = heights[:, None, :] - heights[:, :, None]
    slopes = rises / torch.where(widths > 0, widths, 1.0)
    piece, left, right = (torch.empty_like(slopes) for _ in range(3))
    for a in range(candidates.shape[1]):
        x, y = points - candidates[:, a, None], targets - heights[:, a, None]
        squares = torch.stack((x * x, x * y, y * y)) * weights
        behind = squares * (x >= 0)
        running = torch.nn.functional.pad(behind.cumsum(dim=-1), (1, 0))
        sums = running.gather(2, ends.expand(3, -1, -1))
        piece[:, a] = _loss(sums, slopes[:, a])
        before, after = (squares - behind).sum(dim=-1), running[..., -1]
        left[:, a] = _tail_loss(before[..., None], slopes[:, a], tails)
        right[:, :, a] = _tail_loss(after[..., None], slopes[:, :, a], tails)
    return Costs(piece, left, right)


def _loss(sums: Tensor, slope: Tensor) -> Tensor:
    """Return the sum of `(y - slope x) ** 2` from the sums of `x x`, `x y` and `y y`."""
    xx, xy, yy = sums
    loss: Tensor = yy - 2 * slope * xy + slope * slope * xx
    return loss.clamp(min=0)


def _tail_loss(sums: Tensor, slope: Tensor, tails: str) -> Tensor:
    if tails == "linear":
        return _loss(sums, slope)
    if tails == "constant":
        return sums[2].expand_as(slope)
    best = sums[1] / torch.where(sums[0] > 0, sums[0], 1.0)
    return _loss(sums, best).expand_as(slope)


def forbid(
    costs: Costs,
    candidates: Tensor,
    kinks: tuple[float, ...],
    tails: str,
    *,
    whole: bool = False,
) -> Costs:
    """Return the costs with infinite ones for pieces that leave out a kink or have no width, and,
    where hinges must span the `whole` of the candidates, for tails that begin inside.

    Hinges closer together than a millionth of what the candidates span would become one in
    float32.
    """
    widths = candidates[:, None, :] - candidates[:, :, None]
    largest = candidates.abs().amax(dim=1) + (candidates[:, -1] - candidates[:, 0])
    piece = widths <= 1e-6 * largest[:, None, None]
    a, b = candidates[:, :, None], candidates[:, None, :]
    left = ((a > a[:, :1]) & whole).expand_as(piece)
    right = ((b < b[..., -1:]) & whole).expand_as(piece)
    for kink in kinks:
        piece = piece | ((a < kink) & (kink < b))
        # A linear tail goes on straight through its hinge.
        left = left | ((kink <= a) if tails == "linear" else (kink < a))
        right = right | ((kink >= b) if tails == "linear" else (kink > b))
    forbidden = (piece, left, right)
    return Costs(*(c.masked_fill(f, torch.inf) for c, f in zip(costs, forbidden, strict=True)))


def search(costs: Costs, most: int) -> Choices:
    """Return the best choices of 2 to `most` candidates: `O(most M ** 2)` for each channel."""
    count = costs.piece.shape[-1]
    ended = costs.piece + costs.right
    losses, lasts, befores = [], [], []
    reached = None
    for _ in range(most - 1):
        so_far = costs.left if reached is None else reached[:, :, None]
        loss, place = (so_far + ended).flatten(1).min(dim=1)
        losses.append(loss)
        lasts.append(torch.stack((place // count, place % count), dim=-1))
        reached, before = (so_far + costs.piece).min(dim=1)
        befores.append(before)
    return Choices(torch.stack(losses, dim=1), torch.stack(lasts, dim=1), befores)


def chosen(choices: Choices, count: int) -> Tensor:
    """Return the numbers of the candidates of the best choice of `count`, shape `(C, count)`."""
    places = list(choices.last[:, count - 2].unbind(-1))
    for before in reversed(choices.before[: count - 2]):
        places.insert(0, before.gather(1, places[0][:, None]).squeeze(1))
    return torch.stack(places, dim=1)
