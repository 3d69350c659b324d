"""Pictures of benchmark records, by matplotlib, as SVG."""

from __future__ import annotations

import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.bench.measurement import BOTH, FORWARD
from hinged.lab.bench.record import Case, Record
from hinged.lab.reporting.plots import COLOURS

_GREY = "#64748b"


def ratios(case: Case) -> Figure:
    """Return, for every activation of a case, its time over the baseline's: a point at the median
    of the rounds, a line between the quartiles, a panel for each quantity."""
    timed = [row for row in case.rows if row.problem is None]
    figure, panels = plt.subplots(
        1,
        len(case.quantities),
        figsize=(9, 0.32 * len(timed) + 1.3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, quantity in zip(panels[0], case.quantities, strict=True):
        for place, row in enumerate(timed):
            _interval(axes, place, case, row.name, quantity)
        axes.axvline(1, color=_GREY, linewidth=0.8)
        axes.set(xlabel=f"{quantity}: time over {case.baseline}'s")
        _ratio_axis(axes, [case.ratio(row, quantity).median for row in timed])
    panels[0][0].set_yticks(range(len(timed)), [row.name for row in timed])
    panels[0][0].invert_yaxis()
    return _finished(figure)


def growth(record: Record) -> Figure:
    """Return time over ReLU's against hinges, channels, inputs and threads, a panel each."""
    figure, grid = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
    hinges = [case for case in record.cases if not case.place]
    if hinges:
        places = [_hinges_of(row.name) for row in hinges[0].rows[1:] if row.problem is None]
        timed = [row for row in hinges[0].rows[1:] if row.problem is None]
        for quantity in hinges[0].quantities:
            points = [hinges[0].ratio(row, quantity) for row in timed]
            _line(grid[0], places, [p.median for p in points], quantity)
        _places_axis(grid[0], places)
    for axes, axis in zip(grid[1:], ("channels", "batch", "threads"), strict=True):
        _along(axes, axis, [case for case in record.cases if axis in case.place])
    for axes, name in zip(grid, ("hinges", "channels", "batch", "threads"), strict=True):
        axes.set(xlabel=name, ylim=(0, None))
        axes.axhline(1, color=_GREY, linewidth=0.8)
    grid[0].set_ylabel("time over ReLU's")
    grid[0].legend(frameon=False, fontsize=8)
    return _finished(figure)


def _interval(axes: Axes, place: int, case: Case, name: str, quantity: str) -> None:
    median, low, high = case.ratio(case.row(name), quantity)
    colour = COLOURS["hinged"] if name.startswith("hinged") else COLOURS.get(name, _GREY)
    axes.plot([low, high], [place, place], color=colour, linewidth=2.5)
    axes.plot([median], [place], "D", color=colour, markersize=5)


def _along(axes: Axes, axis: str, cases: list[Case]) -> None:
    timed = [case for case in cases if all(row.problem is None for row in case.rows)]
    for quantity in (FORWARD, BOTH):
        medians = [case.ratio(case.rows[-1], quantity).median for case in timed]
        _line(axes, [case.place[axis] for case in timed], medians, quantity)
    _places_axis(axes, [case.place[axis] for case in timed])


def _line(axes: Axes, places: list[int], numbers: list[float], quantity: str) -> None:
    colour = COLOURS["leaky_relu"] if quantity == FORWARD else COLOURS["hinged"]
    axes.plot(places, numbers, "o-", color=colour, markersize=4, label=quantity)


def _ratio_axis(axes: Axes, ratios: list[float]) -> None:
    """Let the axis begin at 0, or be logarithmic where the ratios differ by more than 5 times;
    write 2 and not 2 x 10^0."""
    if max(ratios, default=1.0) <= 5 * min(ratios, default=1.0):
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def _places_axis(axes: Axes, places: list[int]) -> None:
    """Mark the places that were measured, evenly spaced by their logarithms."""
    axes.set_xscale("log")
    axes.set_xticks(places, [str(place) for place in places], rotation=60, fontsize=8)
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def _hinges_of(name: str) -> int:
    found = re.search(r"K=(\d+)", name)
    return int(found[1]) if found else 0


def _finished(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
