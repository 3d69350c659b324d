"""`fewest_pieces`: the fewest straight pieces that stay within a band around a curve.

The *reachable heights* at a hinge, for a number of pieces, are the heights at which a curve of that
many pieces can end there without leaving the band. They form a union of intervals. One more piece
leads from the heights at each hinge to heights at all later hinges. The lines that stay in the band
between two hinges are a convex set, so an interval at one hinge leads to one interval at the other.
No reachable height is lost, unlike in a greedy search. The first number of pieces with a reachable
height at the last hinge is therefore the least possible number.

5,000 random curves of 17 hinges take 2 to 5 s on one core; it is slower if fewer hinges can be
dropped.

The idea comes from Suri, "A linear time algorithm for minimum link paths inside a simple polygon"
(1986), and Imai and Iri, "Polygonal approximations of a curve" (1988). There pieces may end
anywhere; here they end at given positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class _Heights(NamedTuple):
    """Intervals of reachable heights at each hinge, `(C, K, W)`; empty ones are (inf, -inf)."""

    low: Tensor
    high: Tensor

    def rows(self, rows: Tensor) -> _Heights:
        return _Heights(*(tensor[rows] for tensor in self))


class _Band(NamedTuple):
    """The band, and the heights where lines inside it can start.

    Attributes:
        hinges: positions, shape `(C, K)`.
        low: lower end of the band at each hinge, shape `(C, K)`.
        high: upper end of the band at each hinge, shape `(C, K)`.
        lowest_start: lowest height at hinge `a` of a line that is in the band from `a` to `b`,
            shape `(C, K, K)`. It is above `highest_start` if there is no such line.
        highest_start: the highest such height, shape `(C, K, K)`.
    """

    hinges: Tensor
    low: Tensor
    high: Tensor
    lowest_start: Tensor
    highest_start: Tensor

    def rows(self, rows: Tensor) -> _Band:
        return _Band(*(tensor[rows] for tensor in self))


def fewest_pieces(hinges: Tensor, values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return curves with the fewest pieces that stay within `allowed` of the given curves.

    The difference is limited from the first to the last hinge.

    Args:
        hinges: ascending positions, from which the ends of pieces are chosen, shape `(C, K)`,
            float64.
        values: the heights there, shape `(C, K)`.
        allowed: largest difference, shape `(C,)`.

    Returns:
        Whether each hinge is the end of a piece `(C, K)`, and the new heights at all hinges
        `(C, K)`.
    """
    kept, heights = torch.zeros_like(hinges, dtype=torch.bool), values.clone()
    band = _band(hinges, values - allowed[:, None], values + allowed[:, None])
    history = [_reachable_without_pieces(band)]
    rows = torch.arange(hinges.shape[0], device=hinges.device)
    while rows.numel():
        history.append(_one_more_piece(band, history[-1]))
        done = (history[-1].low <= history[-1].high)[:, -1].any(dim=-1)
        finished = rows[done]
        kept[finished], heights[finished] = _trace_back(
            band.rows(done), values[finished], [each.rows(done) for each in history]
        )
        history = [each.rows(~done) for each in history]
        band, rows = band.rows(~done), rows[~done]
    return kept, heights


def _reachable_without_pieces(band: _Band) -> _Heights:
    """Return the reachable heights without pieces: the band at the first hinge."""
    nowhere = torch.full_like(band.low, torch.inf)
    low, high = nowhere.clone(), -nowhere
    low[:, 0], high[:, 0] = band.low[:, 0], band.high[:, 0]
    return _Heights(low[..., None], high[..., None])


def _band(hinges: Tensor, low: Tensor, high: Tensor) -> _Band:
    """Return the band, with the heights where lines can start for all pairs of hinges.

    A line from hinge `a` passes below the upper end of the band at a hinge `c` and above its lower
    end at a hinge `d`. Compare it with the line through these two points: if `c` is nearer to `a`,
    it starts at most as high; if `d` is nearer, at least as high.
    """
    count = hinges.shape[1]
    lowest_start = low[..., None].repeat(1, 1, count)
    highest_start = high[..., None].repeat(1, 1, count)
    for a in range(count - 1):
        distance = hinges[:, a + 1 :] - hinges[:, a, None]
        near, far = distance[:, :, None], distance[:, None, :]
        bottom, top = low[:, a + 1 :], high[:, a + 1 :]
        later = torch.ones_like(near * far, dtype=torch.bool).triu(diagonal=1)
        gap = torch.where(later, far - near, 1.0)
        highest = (far * top[:, :, None] - near * bottom[:, None, :]) / gap
        lowest = (far * bottom[:, :, None] - near * top[:, None, :]) / gap
        highest = highest.masked_fill(~later, torch.inf).amin(dim=1).cummin(dim=1).values
        lowest = lowest.masked_fill(~later, -torch.inf).amax(dim=1).cummax(dim=1).values
        ahead = (slice(None), a, slice(a + 1, None))
        highest_start[ahead] = torch.minimum(highest_start[ahead], highest)
        lowest_start[ahead] = torch.maximum(lowest_start[ahead], lowest)
    return _Band(hinges, low, high, lowest_start, highest_start)


def _one_more_piece(band: _Band, reachable: _Heights) -> _Heights:
    """Return the heights that are reachable with one more piece."""
    count = band.hinges.shape[1]
    reached = [_no_heights(reachable)]
    reached += [_union(*_reach_with_one_piece(band, reachable, b)) for b in range(1, count)]
    width = max(each.low.shape[1] for each in reached)
    return _Heights(
        torch.stack([_pad_columns(each.low, width, torch.inf) for each in reached], dim=1),
        torch.stack([_pad_columns(each.high, width, -torch.inf) for each in reached], dim=1),
    )


def _pad_columns(tensor: Tensor, width: int, value: float) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)


def _no_heights(reachable: _Heights) -> _Heights:
    empty = torch.full_like(reachable.low[:, 0, :1], torch.inf)
    return _Heights(empty, -empty)


def _reach_with_one_piece(band: _Band, reachable: _Heights, b: int) -> tuple[Tensor, Tensor]:
    """Return the intervals at hinge `b` that one piece reaches from all hinges before it.

    Each has shape `(C, b W)`. The lower a line inside the band starts, the higher it can end: it
    rises at most until it touches the upper end of the band.
    """
    start = torch.maximum(reachable.low[:, :b], band.lowest_start[:, :b, b, None])
    stop = torch.minimum(reachable.high[:, :b], band.highest_start[:, :b, b, None])
    possible = start <= stop
    ahead = band.hinges[:, None, 1 : b + 1] - band.hinges[:, :b, None]
    between = ahead > 0
    ahead = torch.where(between, ahead, 1.0)[:, :, None]
    rise = (band.high[:, None, None, 1 : b + 1] - start[..., None]) / ahead
    fall = (band.low[:, None, None, 1 : b + 1] - stop[..., None]) / ahead
    rise = rise.masked_fill(~between[:, :, None], torch.inf).amin(dim=-1)
    fall = fall.masked_fill(~between[:, :, None], -torch.inf).amax(dim=-1)
    width = (band.hinges[:, b, None] - band.hinges[:, :b])[..., None]
    low = (stop + width * fall).masked_fill(~possible, torch.inf)
    high = (start + width * rise).masked_fill(~possible, -torch.inf)
    # Rounding can turn an interval of one height upside down. It must not be lost.
    middle = (low + high) / 2
    crossed = possible & (low > high)
    low, high = torch.where(crossed, middle, low), torch.where(crossed, middle, high)
    return low.flatten(1), high.flatten(1)


def _union(low: Tensor, high: Tensor) -> _Heights:
    """Return the union of intervals `(C, W)` as disjoint intervals, in the fewest columns."""
    low, order = low.sort(dim=1)
    high = high.gather(1, order)
    so_far = high.cummax(dim=1).values
    begins = torch.nn.functional.pad(low[:, 1:] > so_far[:, :-1], (1, 0))
    column = (begins & (low <= high)).cumsum(dim=1)
    width = int(column.max()) + 1 if column.numel() else 1
    empty = torch.full_like(low[:, :1], torch.inf).expand(-1, width)
    return _Heights(
        empty.scatter_reduce(1, column, low, "amin"),
        (-empty).scatter_reduce(1, column, high, "amax"),
    )


def _trace_back(band: _Band, values: Tensor, history: list[_Heights]) -> tuple[Tensor, Tensor]:
    """Return a curve through the reachable heights: the hinges it keeps, and its heights, `(C, K)`.

    It is built from the last hinge backwards. Each piece begins at the hinge with the widest
    possible interval, as near to the original height as possible.
    """
    end_hinge = torch.full_like(values[:, :1], values.shape[1] - 1, dtype=torch.long)
    height = _nearest(history[-1].low[:, -1], history[-1].high[:, -1], values[:, -1:])
    kept = torch.zeros_like(values, dtype=torch.bool).scatter(1, end_hinge, True)
    heights = torch.zeros_like(values)
    for reachable in reversed(history[:-1]):
        start, start_height = _piece_before(band, values, reachable, end_hinge, height)
        heights = _draw_line(band.hinges, heights, (start, start_height), (end_hinge, height))
        kept = kept.scatter(1, start, True)
        end_hinge, height = start, start_height
    return kept, heights


def _nearest(low: Tensor, high: Tensor, wanted: Tensor) -> Tensor:
    """Return the height in the intervals `(C, W)` that is nearest to `wanted` `(C, 1)`."""
    inside = torch.minimum(torch.maximum(wanted, low), high)
    miss = (inside - wanted).abs().masked_fill(low > high, torch.inf)
    return inside.gather(1, miss.argmin(dim=1, keepdim=True))


def _piece_before(
    band: _Band, values: Tensor, reachable: _Heights, end_hinge: Tensor, height: Tensor
) -> tuple[Tensor, Tensor]:
    """Return hinge and height `(C, 1)` where the piece that ends at a given point begins."""
    start, end = band.hinges[:, :, None], band.hinges.gather(1, end_hinge)[..., None]
    at = band.hinges[:, None, :]
    inside = (at > start) & (at < end)
    left = torch.where(inside, (end - at) / torch.where(end > start, end - start, 1.0), 1.0)
    rest = (1 - left) * height[..., None]
    lowest = ((band.low[:, None] - rest) / left).masked_fill(~inside, -torch.inf).amax(dim=-1)
    highest = ((band.high[:, None] - rest) / left).masked_fill(~inside, torch.inf).amin(dim=-1)
    low = torch.maximum(reachable.low, lowest[..., None])
    high = torch.minimum(reachable.high, highest[..., None])
    before = torch.arange(values.shape[1], device=values.device)[:, None] < end_hinge[..., None]
    possible = before & (reachable.low <= reachable.high)
    room = (high - low).masked_fill(~possible, -torch.inf)
    best = room.flatten(1).argmax(dim=1, keepdim=True)
    low, high = low.flatten(1).gather(1, best), high.flatten(1).gather(1, best)
    begin = best // reachable.low.shape[2]
    wanted = values.gather(1, begin)
    # Rounding may make the interval slightly negative.
    return begin, torch.where(
        low <= high, torch.minimum(torch.maximum(wanted, low), high), (low + high) / 2
    )


def _draw_line(
    hinges: Tensor, heights: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the heights, replaced between two points by the straight line through them."""
    left, right = hinges.gather(1, start[0]), hinges.gather(1, end[0])
    t = (hinges - left) / (right - left)
    line = torch.lerp(start[1].expand_as(t), end[1].expand_as(t), t)
    return torch.where((hinges >= left) & (hinges <= right), line, heights)
