"""Plots of benchmark records, drawn with matplotlib."""

from __future__ import annotations

import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.bench.measurement import FORWARD, FORWARD_BACKWARD
from hinged.lab.bench.record import BenchmarkRecord, Case
from hinged.lab.reporting.picture_data import COLOURS

_GREY = "#64748b"


def plot_case_ratios(case: Case) -> Figure:
    """Draw the time of each activation divided by the time of `case.baseline`, another activation.

    A point shows the median over the rounds. A line connects the quartiles.

    Returns:
        A figure with one panel for each timed quantity, for example the forward pass.
    """
    rows = case.timed_rows
    figure, panels = plt.subplots(
        1,
        len(case.quantities),
        figsize=(9, 0.32 * len(rows) + 1.3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axes, quantity in zip(panels[0], case.quantities, strict=True):
        for y, row in enumerate(rows):
            median, low, high = case.ratio(row, quantity)
            colour = COLOURS.get("hinged" if row.name.startswith("hinged") else row.name, _GREY)
            axes.plot([low, high], [y, y], color=colour, linewidth=2.5)
            axes.plot([median], [y], "D", color=colour, markersize=5)
        axes.axvline(1, color=_GREY, linewidth=0.8)
        axes.set(xlabel=f"{quantity}: time over {case.baseline}'s")
        _scale_ratio_axis(axes, [case.ratio(row, quantity).median for row in rows])
    panels[0][0].set_yticks(range(len(rows)), [row.name for row in rows])
    panels[0][0].invert_yaxis()
    return _hide_top_and_right(figure)


def plot_scaling(record: BenchmarkRecord) -> Figure:
    """Draw the time of curves divided by the time of ReLU.

    Args:
        record: a record of `hinged bench growth`.

    Returns:
        A figure with four panels: time against hinges, channels, batch size and threads.
    """
    figure, panels = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout="constrained")
    _plot_hinge_counts(panels[0], [case for case in record.cases if not case.place])
    axis_names = ("channels", "batch", "threads")
    for axes, axis in zip(panels[1:], axis_names, strict=True):
        _plot_axis(axes, axis, [case for case in record.cases if axis in case.place])
    for axes, name in zip(panels, ("hinges", *axis_names), strict=True):
        axes.set(xlabel=name, ylim=(0, None))
        axes.axhline(1, color=_GREY, linewidth=0.8)
    panels[0].set_ylabel("time over ReLU's")
    panels[0].legend(frameon=False, fontsize=8)
    return _hide_top_and_right(figure)


def _plot_hinge_counts(axes: Axes, cases: list[Case]) -> None:
    """Draw how the times of curves depend on the number of hinges, relative to ReLU.

    Only the first case is drawn. The numbers of hinges are read from its row names.
    """
    for case in cases[:1]:
        rows = [row for row in case.rows[1:] if row.problem is None]
        counts = [_hinges_in(row.name) for row in rows]
        for quantity in case.quantities:
            _line(axes, counts, [case.ratio(row, quantity).median for row in rows], quantity)
        _scale_count_axis(axes, counts)


def _plot_axis(axes: Axes, axis: str, cases: list[Case]) -> None:
    timed = [case for case in cases if len(case.timed_rows) == len(case.rows)]
    counts = [case.place[axis] for case in timed]
    for quantity in (FORWARD, FORWARD_BACKWARD):
        medians = [case.ratio(case.rows[-1], quantity).median for case in timed]
        _line(axes, counts, medians, quantity)
    _scale_count_axis(axes, counts)


def _line(axes: Axes, counts: list[int], ratios: list[float], quantity: str) -> None:
    colour = COLOURS["leaky_relu"] if quantity == FORWARD else COLOURS["hinged"]
    axes.plot(counts, ratios, "o-", color=colour, markersize=4, label=quantity)


def _scale_ratio_axis(axes: Axes, ratios: list[float]) -> None:
    """Start the x axis at 0. Make it logarithmic if the ratios differ by more than a factor of 5.

    The labels of a logarithmic axis are plain numbers, for example 2 instead of 2 x 10^0.
    """
    if max(ratios, default=1.0) <= 5 * min(ratios, default=1.0):
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def _scale_count_axis(axes: Axes, counts: list[int]) -> None:
    """Make the x axis logarithmic, with a tick at each measured count."""
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts], rotation=60, fontsize=8)
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def _hinges_in(name: str) -> int:
    found = re.search(r"K=(\d+)", name)
    return int(found[1]) if found else 0


def _hide_top_and_right(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
