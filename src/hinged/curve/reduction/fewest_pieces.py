"""The fewest straight pieces that stay within a band around a curve.

A window is the set of heights at a hinge that a curve of so many pieces can reach while it stays in
the band. One more piece carries the windows of all hinges to all hinges behind them. A window is a
union of intervals, and for each pair of hinges what is reached from an interval is an interval,
because the lines that stay in the band between two hinges are a convex set. So nothing is lost,
unlike with a greedy search, and the first number of pieces with a window at the last hinge is the
least there is.

5,000 random curves of 17 hinges take 2 to 5 s on one core, the more the fewer hinges can go.

The idea of windows is that of Suri, "A linear time algorithm for minimum link paths inside a simple
polygon" (1986), and of Imai and Iri, "Polygonal approximations of a curve" (1988); here pieces end
at given positions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class _Windows(NamedTuple):
    """Intervals of heights at each hinge, `(C, K, W)` each; empty ones are (inf, -inf)."""

    low: Tensor
    high: Tensor


class _Band(NamedTuple):
    """The band, and where lines through it can start.

    Attributes:
        hinges: positions, shape `(C, K)`.
        low: the band's lower end at each hinge, shape `(C, K)`.
        high: its upper end, shape `(C, K)`.
        first: lowest height at hinge `a` of a line that is in the band from `a` to `b`, shape
            `(C, K, K)`; above `last` where there is none.
        last: the highest such height, shape `(C, K, K)`.
    """

    hinges: Tensor
    low: Tensor
    high: Tensor
    first: Tensor
    last: Tensor

    def rows(self, rows: Tensor) -> _Band:
        return _Band(*(tensor[rows] for tensor in self))


def fewest_pieces(hinges: Tensor, values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return curves with as few pieces as stay within `allowed` of given ones, from the first hinge
    to the last.

    Args:
        hinges: ascending positions, of which the pieces' ends are chosen, shape `(C, K)`, float64.
        values: the heights there, shape `(C, K)`.
        allowed: largest difference, shape `(C,)`.

    Returns:
        Which hinges are the ends of pieces `(C, K)`, and the new heights at all of them `(C, K)`.
    """
    kept, heights = torch.zeros_like(hinges, dtype=torch.bool), values.clone()
    band = _band(hinges, values - allowed[:, None], values + allowed[:, None])
    history = [_start(band)]
    rows = torch.arange(hinges.shape[0], device=hinges.device)
    while rows.numel():
        history.append(_one_more_piece(band, history[-1]))
        done = (history[-1].low <= history[-1].high)[:, -1].any(dim=-1)
        windows = [_Windows(*(tensor[done] for tensor in each)) for each in history]
        ended = rows[done]
        kept[ended], heights[ended] = _walk_back(band.rows(done), values[ended], windows)
        history = [_Windows(*(tensor[~done] for tensor in each)) for each in history]
        band, rows = band.rows(~done), rows[~done]
    return kept, heights


def _start(band: _Band) -> _Windows:
    """Return the windows of no pieces: the band at the first hinge."""
    nowhere = torch.full_like(band.low, torch.inf)
    low, high = nowhere.clone(), -nowhere
    low[:, 0], high[:, 0] = band.low[:, 0], band.high[:, 0]
    return _Windows(low[..., None], high[..., None])


def _band(hinges: Tensor, low: Tensor, high: Tensor) -> _Band:
    """Return the band, and for all pairs of hinges the heights where lines through it can start.

    A line from hinge `a` passes below the upper end at `c` and above the lower end at `d`. If `c`
    is the nearer, it starts no higher than the line through those two points, if `d` is, no lower.
    """
    count = hinges.shape[1]
    first, last = low[..., None].repeat(1, 1, count), high[..., None].repeat(1, 1, count)
    for a in range(count - 1):
        ahead = hinges[:, a + 1 :] - hinges[:, a, None]
        near, far = ahead[:, :, None], ahead[:, None, :]
        bottom, top = low[:, a + 1 :], high[:, a + 1 :]
        later = torch.ones_like(near * far, dtype=torch.bool).triu(diagonal=1)
        apart = torch.where(later, far - near, 1.0)
        highest = (far * top[:, :, None] - near * bottom[:, None, :]) / apart
        lowest = (far * bottom[:, :, None] - near * top[:, None, :]) / apart
        highest = highest.masked_fill(~later, torch.inf).amin(dim=1).cummin(dim=1).values
        lowest = lowest.masked_fill(~later, -torch.inf).amax(dim=1).cummax(dim=1).values
        last[:, a, a + 1 :] = torch.minimum(last[:, a, a + 1 :], highest)
        first[:, a, a + 1 :] = torch.maximum(first[:, a, a + 1 :], lowest)
    return _Band(hinges, low, high, first, last)


def _one_more_piece(band: _Band, windows: _Windows) -> _Windows:
    """Return the windows that one more piece reaches."""
    count = band.hinges.shape[1]
    reached = [_nothing(windows)]
    reached += [_united(*_reach(band, windows, b)) for b in range(1, count)]
    width = max(each.low.shape[1] for each in reached)
    return _Windows(
        torch.stack([_wider(each.low, width, torch.inf) for each in reached], dim=1),
        torch.stack([_wider(each.high, width, -torch.inf) for each in reached], dim=1),
    )


def _wider(tensor: Tensor, width: int, value: float) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)


def _nothing(windows: _Windows) -> _Windows:
    empty = torch.full_like(windows.low[:, 0, :1], torch.inf)
    return _Windows(empty, -empty)


def _reach(band: _Band, windows: _Windows, b: int) -> tuple[Tensor, Tensor]:
    """Return the intervals at hinge `b` that single pieces reach from all windows before it, as
    `(C, b W)` each.

    The lower a line through the band starts, the higher it can end: it ends at most where it
    touches the band's upper end.
    """
    start = torch.maximum(windows.low[:, :b], band.first[:, :b, b, None])
    stop = torch.minimum(windows.high[:, :b], band.last[:, :b, b, None])
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
    # What is one height but for rounding is not to be lost.
    middle = (low + high) / 2
    crossed = possible & (low > high)
    low, high = torch.where(crossed, middle, low), torch.where(crossed, middle, high)
    return low.flatten(1), high.flatten(1)


def _united(low: Tensor, high: Tensor) -> _Windows:
    """Return the union of intervals `(C, W)` as disjoint ones, as few columns as will hold them."""
    low, order = low.sort(dim=1)
    high = high.gather(1, order)
    so_far = high.cummax(dim=1).values
    begins = torch.nn.functional.pad(low[:, 1:] > so_far[:, :-1], (1, 0))
    place = (begins & (low <= high)).cumsum(dim=1)
    width = int(place.max()) + 1 if place.numel() else 1
    nothing = torch.full_like(low[:, :1], torch.inf).expand(-1, width)
    return _Windows(
        nothing.scatter_reduce(1, place, low, "amin"),
        (-nothing).scatter_reduce(1, place, high, "amax"),
    )


def _walk_back(band: _Band, values: Tensor, history: list[_Windows]) -> tuple[Tensor, Tensor]:
    """Return a curve through the windows: which hinges it keeps, and its heights at all `(C, K)`.

    From the last hinge backwards, each piece begins where there is most room for it, as near to
    the original height as can be.
    """
    place = torch.full_like(values[:, :1], values.shape[1] - 1, dtype=torch.long)
    height = _nearest(history[-1].low[:, -1], history[-1].high[:, -1], values[:, -1:])
    kept = torch.zeros_like(values, dtype=torch.bool).scatter(1, place, True)
    heights = torch.zeros_like(values)
    for windows in reversed(history[:-1]):
        start, start_height = _piece_before(band, values, windows, place, height)
        heights = _drawn(band.hinges, heights, (start, start_height), (place, height))
        kept = kept.scatter(1, start, True)
        place, height = start, start_height
    return kept, heights


def _nearest(low: Tensor, high: Tensor, wanted: Tensor) -> Tensor:
    """Return the height in a window `(C, W)` nearest to the wanted one `(C, 1)`."""
    inside = torch.minimum(torch.maximum(wanted, low), high)
    miss = (inside - wanted).abs().masked_fill(low > high, torch.inf)
    return inside.gather(1, miss.argmin(dim=1, keepdim=True))


def _piece_before(
    band: _Band, values: Tensor, windows: _Windows, place: Tensor, height: Tensor
) -> tuple[Tensor, Tensor]:
    """Return hinge and height `(C, 1)` where a piece that ends at a given point can begin."""
    start, end = band.hinges[:, :, None], band.hinges.gather(1, place)[..., None]
    at = band.hinges[:, None, :]
    inside = (at > start) & (at < end)
    left = torch.where(inside, (end - at) / torch.where(end > start, end - start, 1.0), 1.0)
    rest = (1 - left) * height[..., None]
    lowest = ((band.low[:, None] - rest) / left).masked_fill(~inside, -torch.inf).amax(dim=-1)
    highest = ((band.high[:, None] - rest) / left).masked_fill(~inside, torch.inf).amin(dim=-1)
    low = torch.maximum(windows.low, lowest[..., None])
    high = torch.minimum(windows.high, highest[..., None])
    before = torch.arange(values.shape[1], device=values.device)[:, None] < place[..., None]
    possible = before & (windows.low <= windows.high)
    room = (high - low).masked_fill(~possible, -torch.inf)
    best = room.flatten(1).argmax(dim=1, keepdim=True)
    low, high = low.flatten(1).gather(1, best), high.flatten(1).gather(1, best)
    begin = best // windows.low.shape[2]
    wanted = values.gather(1, begin)
    # Rounding may leave less than no room, by as little.
    return begin, torch.where(
        low <= high, torch.minimum(torch.maximum(wanted, low), high), (low + high) / 2
    )


def _drawn(
    hinges: Tensor, heights: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the heights with those from one point to another replaced by a straight line's."""
    left, right = hinges.gather(1, start[0]), hinges.gather(1, end[0])
    t = (hinges - left) / (right - left)
    line = torch.lerp(start[1].expand_as(t), end[1].expand_as(t), t)
    return torch.where((hinges >= left) & (hinges <= right), line, heights)
