"""The pictures of a study's record, by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.reporting import significance
from hinged.lab.reporting.plots import colour, finished
from hinged.lab.study.record import Record, Row

_FEWEST = 3
"""Values it takes to draw a line along an axis."""
_STYLES = ("-", "--", ":", "-.")


def of(record: Record) -> dict[str, Callable[[Record], Figure]]:
    """Return what draws the pictures of a record, by what their file names end with: the
    differences, and where there is something to see, the way along an axis or through training."""
    found: dict[str, Callable[[Record], Figure]] = {"": differences}
    if axis(record) is not None:
        found["-along"] = along
    if record.measure.startswith("dead"):
        found["-epochs"] = through
    return found


def differences(record: Record) -> Figure:
    """Return the differences with their 95 % intervals, a line a row; means where nothing was
    compared."""
    compared = [row for row in record.rows if row.versus is not None]
    rows = compared or record.rows
    drawn, axes = plt.subplots(figsize=(8, 0.3 * len(rows) + 1.2), layout="constrained")
    scale = _scale(record)
    for place, row in enumerate(rows):
        middle, low, high = _span(row)
        shade = colour(row.activation)
        axes.plot([scale * low, scale * high], [place, place], color=shade, linewidth=2.5)
        axes.plot([scale * middle], [place], "D", color=shade, markersize=5)
    axes.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=8)
    axes.invert_yaxis()
    if compared:
        axes.axvline(0, color=colour("relu"), linewidth=1)
    what = f"difference in {record.measure}" if compared else record.measure
    unit = ", points" if compared and record.in_percent else ", %" if record.in_percent else ""
    axes.set_xlabel(f"{what}{unit}")
    return finished(drawn)


def axis(record: Record) -> str | None:
    """Return the axis of the grid to draw lines along: the one with most numbers on it, at least
    three; None where there is none."""
    values: dict[str, set[float]] = {}
    for row in record.rows:
        for name, value in row.point.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, set()).add(value)
    longest = max(values, key=lambda name: len(values[name]), default=None)
    return longest if longest is not None and len(values[longest]) >= _FEWEST else None


def along(record: Record) -> Figure:
    """Return the means with their 95 % intervals along the axis; an activation that the axis does
    not concern is a level line."""
    name = axis(record)
    if name is None:
        raise ValueError(f"{record.name} has no axis of numbers")
    drawn, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    xs = sorted({row.point[name] for row in record.rows if name in row.point})
    for style, (title, rows) in _styled(_lines(record, name)):
        places = [row.point[name] for row in rows] if name in rows[0].point else xs
        rows = rows if name in rows[0].point else rows * len(xs)
        _band(axes, places, rows, _scale(record), title, style)
    if xs[0] > 0 and xs[-1] >= 4 * xs[0]:
        axes.set_xscale("log", base=2)
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.minorticks_off()
    axes.set_xlabel(name)
    axes.set_ylabel(f"{record.measure}{', %' if record.in_percent else ''}")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return finished(drawn)


def through(record: Record) -> Figure:
    """Return the shares of dead and of dormant units after each epoch, means over seeds."""
    drawn, panels = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for axes, what in zip(panels, ("dead", "dormant"), strict=True):
        for style, (title, rows) in _styled({row.title: [row] for row in record.rows}):
            shares = [100 * share for share in getattr(rows[0], what)]
            shade = colour(rows[0].activation)
            axes.plot(range(1, len(shares) + 1), shares, style, color=shade, label=title)
        axes.set(xlabel="epoch", ylabel=f"{what} units, %")
    panels[1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return finished(drawn)


def _lines(record: Record, name: str) -> dict[str, list[Row]]:
    """Return the rows of each line along an axis, in its order, by the line's title."""
    lines: dict[str, list[Row]] = {}
    for row in record.rows:
        shown = f"{name.rpartition('.')[2].replace('_', '-')} "
        parts = [part for part in row.label.split(", ") if part and not part.startswith(shown)]
        lines.setdefault(" ".join((row.activation, *parts)), []).append(row)
    return {t: sorted(rows, key=lambda row: row.point.get(name, 0)) for t, rows in lines.items()}


def _styled(lines: dict[str, list[Row]]) -> Iterator[tuple[str, tuple[str, list[Row]]]]:
    """Yield the lines, those of one activation in different styles."""
    seen: dict[str, int] = {}
    for title, rows in lines.items():
        number = seen.setdefault(rows[0].activation, 0)
        seen[rows[0].activation] += 1
        yield _STYLES[number % len(_STYLES)], (title, rows)


def _band(axes: Axes, xs: list[Any], rows: list[Row], scale: float, title: str, style: str) -> None:
    spans = [_interval(row) for row in rows]
    means, lows, highs = ([scale * value for value in each] for each in zip(*spans, strict=True))
    shade = colour(rows[0].activation)
    axes.plot(xs, means, style, marker="o", markersize=3.5, color=shade, label=title)
    axes.fill_between(xs, lows, highs, color=shade, alpha=0.12, linewidth=0)


def _interval(row: Row) -> tuple[float, float, float]:
    values = [value for value in row.values.values() if value is not None]
    return significance.mean_interval(values) if values else (math.nan, math.nan, math.nan)


def _span(row: Row) -> tuple[float, float, float]:
    if row.versus is not None:
        return row.versus.t.mean, row.versus.t.low, row.versus.t.high
    middle = math.nan if row.mean is None else row.mean
    return middle, middle, middle


def _scale(record: Record) -> float:
    return 100 if record.in_percent else 1
