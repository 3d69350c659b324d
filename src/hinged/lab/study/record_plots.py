"""The pictures of a study's record, as matplotlib figures.

A row of a record is one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.reporting.picture_data import colour_of
from hinged.lab.reporting.plots import hide_top_and_right
from hinged.lab.reporting.significance import mean_interval
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.wording import axis_words, reference_words, row_words

_MIN_VALUES = 3
"""An axis of the grid is drawn if it has at least this number of values."""
_WIDTH = 6.2
"""Width of a picture in inches. Its texts can be read on a phone, which shrinks wider pictures."""
_LABEL_WIDTH = 45
"""Largest number of characters in a line of a label."""
_LEGEND_LINE = 0.17
"""Height of a line of a legend in inches."""
_STYLES = ("-", "--", ":", "-.")


class Picture(NamedTuple):
    """A kind of picture that can be drawn of a record (the results of a study).

    Attributes:
        suffix: end of the picture's file name, without `.svg`.
        description: alternative text of the picture.
        draw: a function that takes the record and returns the figure.
    """

    suffix: str
    description: str
    draw: Callable[[StudyRecord], Figure]


def pictures_of(record: StudyRecord) -> list[Picture]:
    """Return the kinds of pictures that can be drawn of a record, the most telling first.

    The differences can always be drawn. The means over a setting are drawn if `line_axis` returns a
    setting. Dead and dormant units are drawn if the study compares dead units.
    """
    pictures = [Picture("", "The differences with their 95 % intervals", draw_differences)]
    axis = line_axis(record)
    if axis is not None:
        about = f"The means with their 95 % intervals, over the {axis_words(axis)}"
        pictures.insert(0, Picture("-along", about, draw_along_axis))
    if record.measure.startswith("dead"):
        about = "The shares of dead and of dormant units after each epoch, means over seeds"
        pictures.append(Picture("-epochs", about, draw_idle_units))
    return pictures


def draw_differences(record: StudyRecord) -> Figure:
    """Return a figure of the differences between rows and their references, with 95 % intervals.

    A reference is the row with which another row is compared. The figure has a line for each row
    that has a reference. If no row has one, the figure shows the mean value of every row instead.
    """
    compared = [row for row in record.rows if row.versus is not None]
    rows = compared or record.rows
    labels = [textwrap.fill(row_words(record, row), _LABEL_WIDTH) for row in rows]
    lines = max(label.count("\n") + 1 for label in labels)
    height = (0.12 * lines + 0.07) * len(rows) + 0.8
    figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    scale = _scale(record)
    for line, row in enumerate(rows):
        mean, low, high = _difference_interval(row)
        colour = colour_of(row.activation)
        axes.plot([scale * low, scale * high], [line, line], color=colour, linewidth=2)
        axes.plot([scale * mean], [line], "D", color=colour, markersize=4)
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if compared:
        axes.axvline(0, color=colour_of("relu"), linewidth=1)
    minus = f", minus that of {reference_words(record, compared)}" if compared else ""
    what = f"{record.measure}{minus}"
    unit = ", points" if compared and record.in_percent else ", %" if record.in_percent else ""
    axes.set_xlabel(textwrap.fill(f"{what}{unit}", _LABEL_WIDTH), fontsize=9)
    return hide_top_and_right(figure)


def line_axis(record: StudyRecord) -> str | None:
    """Return the name of the setting that takes the most different numbers in a study.

    None is returned if no setting in the grid of the study takes at least three numbers.
    """
    values: dict[str, set[float]] = {}
    for row in record.rows:
        for name, value in row.point.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, set()).add(value)
    longest = max(values, key=lambda name: len(values[name]), default=None)
    return longest if longest is not None and len(values[longest]) >= _MIN_VALUES else None


def draw_along_axis(record: StudyRecord) -> Figure:
    """Return a figure of the means with their 95 % intervals, over the values of one setting.

    The setting is the one that `line_axis` returns. If an activation does not depend on the
    setting, it is drawn as a horizontal line.

    Raises:
        ValueError: if no setting in the grid of the study takes at least three numbers.
    """
    name = line_axis(record)
    if name is None:
        raise ValueError(
            f"In the record of {record.name}, no setting takes at least {_MIN_VALUES} numbers. "
            "Call draw_along_axis only if line_axis returns a name."
        )
    drawn = _lines_along(record, name)
    columns = _legend_columns(drawn)
    height = 3.4 + _LEGEND_LINE * math.ceil(len(drawn) / columns)
    figure, axes = plt.subplots(figsize=(_WIDTH, height), layout="constrained")
    xs = sorted({row.point[name] for row in record.rows if name in row.point})
    for style, (title, rows) in _with_styles(drawn):
        positions = [row.point[name] for row in rows] if name in rows[0].point else xs
        rows = rows if name in rows[0].point else rows * len(xs)
        _draw_line(axes, positions, rows, _scale(record), title, style)
    if xs[0] > 0 and xs[-1] >= 4 * xs[0]:
        axes.set_xscale("log", base=2)
    axes.set_xticks(xs, [f"{x:g}" for x in xs])
    axes.minorticks_off()
    axes.set_xlabel(axis_words(name))
    measure = f"{record.measure}{', %' if record.in_percent else ''}"
    axes.set_ylabel(textwrap.fill(measure, _LABEL_WIDTH), fontsize=9)
    _add_legend(figure, axes, columns)
    return hide_top_and_right(figure)


def draw_idle_units(record: StudyRecord) -> Figure:
    """Return a figure of the percentages of dead and of dormant units after each epoch.

    Both are means over the seeds.
    """
    drawn = {row_words(record, row): [row] for row in record.rows}
    columns = _legend_columns(drawn)
    height = 2.8 + _LEGEND_LINE * math.ceil(len(drawn) / columns)
    figure, panels = plt.subplots(1, 2, figsize=(_WIDTH, height), layout="constrained")
    for axes, kind in zip(panels, ("dead", "dormant"), strict=True):
        for style, (title, rows) in _with_styles(drawn):
            shares = [100 * share for share in getattr(rows[0], kind)]
            colour = colour_of(rows[0].activation)
            axes.plot(range(1, len(shares) + 1), shares, style, color=colour, label=title)
        axes.set(xlabel="epoch", ylabel=f"{kind} units, %")
    _add_legend(figure, panels[1], columns)
    return hide_top_and_right(figure)


def _legend_columns(lines: dict[str, list[RecordRow]]) -> int:
    """Return the number of columns of a legend below a picture. Long titles need one column."""
    return 2 if max(map(len, lines)) <= _LABEL_WIDTH else 1


def _add_legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Add a legend of the lines of an axes below the figure."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        frameon=False,
        fontsize=8,
        loc="outside lower center",
        ncols=columns,
        handlelength=4,  # Shorter pieces of lines do not show whether a line is dashed.
    )


def _lines_along(record: StudyRecord, name: str) -> dict[str, list[RecordRow]]:
    """Return the rows of the record that each drawn line connects.

    Args:
        record: the record.
        name: the setting on the horizontal axis, for example `network.width`.

    Returns:
        For each line, its rows in ascending order of the setting. The keys are the titles of the
        lines: the activation with its other settings.
    """
    lines: dict[str, list[RecordRow]] = {}
    for row in record.rows:
        lines.setdefault(row_words(record, row, without=name), []).append(row)
    return {t: sorted(rows, key=lambda row: row.point.get(name, 0)) for t, rows in lines.items()}


def _with_styles(
    lines: dict[str, list[RecordRow]],
) -> Iterator[tuple[str, tuple[str, list[RecordRow]]]]:
    """Yield pairs of line style and line. Lines of the same activation have different styles.

    Args:
        lines: the rows of each line, by its title. A yielded line is a pair of title and rows.
    """
    count: dict[str, int] = {}
    for title, rows in lines.items():
        number = count.setdefault(rows[0].activation, 0)
        count[rows[0].activation] += 1
        yield _STYLES[number % len(_STYLES)], (title, rows)


def _draw_line(
    axes: Axes, xs: list[Any], rows: list[RecordRow], scale: float, title: str, style: str
) -> None:
    intervals = [_value_interval(row) for row in rows]
    columns = zip(*intervals, strict=True)
    means, lows, highs = ([scale * value for value in column] for column in columns)
    colour = colour_of(rows[0].activation)
    axes.plot(xs, means, style, marker="o", markersize=3.5, color=colour, label=title)
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.12, linewidth=0)


def _value_interval(row: RecordRow) -> tuple[float, float, float]:
    values = [value for value in row.values.values() if value is not None]
    return mean_interval(values) if values else (math.nan, math.nan, math.nan)


def _difference_interval(row: RecordRow) -> tuple[float, float, float]:
    if row.versus is not None:
        return row.versus.t.mean, row.versus.t.low, row.versus.t.high
    mean = math.nan if row.mean is None else row.mean
    return mean, mean, mean


def _scale(record: StudyRecord) -> float:
    return 100 if record.in_percent else 1
