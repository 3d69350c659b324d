"""The pictures of a comparison as matplotlib figures, for PNG, PDF and SVG files."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.reporting.comparison_table import ComparisonTable
from hinged.lab.reporting.picture_data import (
    HISTOGRAM_COLOUR,
    ActivationResults,
    CurvePanel,
    colour_of,
    difference_label,
    score_label,
)
from hinged.lab.reporting.significance import Interval
from hinged.model.display.panels import panel_title

# With these options the same figure always has the same SVG text: ids are not random.
_SVG_OPTIONS: dict[Any, Any] = {
    "svg.hashsalt": "hinged",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


def draw_scores(table: ComparisonTable, activations: list[ActivationResults]) -> Figure:
    """Return a figure of the test scores, with one line for each activation.

    A line shows a point for each seed, and the mean with its 95 % interval.
    """
    figure, axes = _axes_with_a_line_each([each.activation for each in activations])
    for line, each in enumerate(activations):
        axes.plot(each.scores, [line] * len(each.scores), "o", color=each.colour, alpha=0.35, ms=5)
        _draw_interval(axes, line, each.mean, each.colour)
    axes.set_xlabel(score_label(table))
    return hide_top_and_right(figure)


def draw_differences(table: ComparisonTable, activations: list[ActivationResults]) -> Figure:
    """Return a figure of the mean score differences to the baseline, with their 95 % intervals.

    The differences are taken between trainings from the same seed.
    """
    compared = [each for each in activations if each.difference is not None]
    figure, axes = _axes_with_a_line_each([each.activation for each in compared])
    axes.axvline(0, color=colour_of(table.baseline), linewidth=1)
    for line, each in enumerate(compared):
        if each.difference is not None:
            _draw_interval(axes, line, each.difference, each.colour)
    axes.set_xlabel(difference_label(table))
    return hide_top_and_right(figure)


def draw_histories(table: ComparisonTable, activations: list[ActivationResults]) -> Figure:
    """Return a figure of the training loss and the test score after every epoch.

    Both are means over the seeds.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for each in activations:
        epochs = range(1, len(each.mean_loss) + 1)
        left.plot(epochs, each.mean_loss, color=each.colour, label=each.activation)
        right.plot(epochs, each.mean_history, color=each.colour)
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    right.set(xlabel="epoch", ylabel=score_label(table))
    left.legend(frameon=False)
    return hide_top_and_right(figure)


def draw_curves(panels: list[CurvePanel]) -> Figure:
    """Return a figure of the learned curves, with one panel for each layer.

    In each panel, thin lines are the curves of single channels and the thick line is their mean.
    The dashed line is ReLU, and the grey area is the histogram of the layer's inputs. Up to four
    panels are in two columns, so that a phone shows their texts in a readable size.

    Args:
        panels: the curves of each layer.
    """
    columns = min(2 if len(panels) <= 4 else 4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3 * columns, 2.2 * rows), squeeze=False, layout="constrained"
    )
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    return hide_top_and_right(figure)


def hide_top_and_right(figure: Figure) -> Figure:
    """Hide the top and the right side of the frame of every axes, and return the figure."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def to_png(figure: Figure) -> bytes:
    """Return the bytes of a figure's PNG file, and close the figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """Return the bytes of a figure's PDF file, and close the figure.

    The same figure always has the same bytes.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):  # Fonts that other programs can edit.
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    plt.close(figure)
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """Return the text of a figure's SVG file, and close the figure.

    The same figure always has the same text.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_SVG_OPTIONS):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return re.sub(r"[ \t]+$", "", buffer.getvalue(), flags=re.M)


def _axes_with_a_line_each(names: list[str]) -> tuple[Figure, Axes]:
    """Return an empty figure whose vertical axis lists the names, the first name on top."""
    figure, axes = plt.subplots(figsize=(7, 0.6 * len(names) + 1.4), layout="constrained")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    return figure, axes


def _draw_interval(axes: Axes, line: int, interval: Interval, colour: str) -> None:
    mean, low, high = interval
    if not math.isnan(low):
        axes.plot([low, high], [line, line], color=colour, linewidth=2.5)
    axes.plot([mean], [line], "D", color=colour, markersize=6)


def _draw_panel(axes: Axes, panel: CurvePanel) -> None:
    density = axes.twinx()
    density.stairs(
        panel.counts.numpy(), panel.x.numpy(), fill=True, color=HISTOGRAM_COLOUR, alpha=0.7
    )
    density.set_axis_off()
    axes.set_zorder(density.get_zorder() + 1)
    axes.patch.set_visible(False)
    colour = colour_of("hinged")
    axes.plot(panel.x, panel.relu, color=colour_of("relu"), linewidth=1, linestyle="--")
    axes.plot(panel.x, panel.channels.T.numpy(), color=colour, linewidth=0.8, alpha=0.35)
    axes.plot(panel.x, panel.mean.numpy(), color=colour, linewidth=2)
    for hinge in panel.hinges:
        axes.axvline(hinge, color="#94a3b8", linewidth=0.4)
    count = len(panel.channels)
    facts = f"{count} curves, {panel.outside:.0%} of inputs outside"
    axes.set_title(panel_title(f"layer {panel.layer}", facts), fontsize=8)
