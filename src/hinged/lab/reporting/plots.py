"""Pictures of a comparison, by matplotlib."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hinged.lab.reporting.comparison_table import Summary
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training.snapshots import CurveSnapshot

COLOURS = {
    "hinged": "#c2410c",
    "relu": "#334155",
    "leaky_relu": "#0369a1",
    "prelu": "#15803d",
    "silu": "#7e22ce",
}
_OTHER = "#64748b"
# Repeatable: ids from a fixed salt, text as text, no date.
_SVG: dict[Any, Any] = {
    "svg.hashsalt": "hinged",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


def colour(activation: str) -> str:
    """Return the colour that an activation has in every picture."""
    return COLOURS.get(activation, _OTHER)


def scores(summary: Summary, results: list[TrialResult]) -> Figure:
    """Return the test scores: a point a seed, and the mean with its 95 % interval."""
    figure, axes = plt.subplots(figsize=(7, 0.6 * len(summary.rows) + 1.4), layout="constrained")
    scale = 100 if summary.metric == "accuracy" else 1
    for place, row in enumerate(summary.rows):
        own = [scale * r.test_score for r in results if r.activation == row.activation]
        axes.plot(own, [place] * len(own), "o", color=colour(row.activation), alpha=0.35, ms=5)
        _interval(axes, place, [scale * value for value in row.score], row.activation)
    axes.set_yticks(range(len(summary.rows)), [row.activation for row in summary.rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"test {summary.metric}{', %' if scale == 100 else ''}")
    return finished(figure)


def differences(summary: Summary) -> Figure:
    """Return the paired differences to the baseline with their 95 % intervals."""
    rows = [row for row in summary.rows if row.versus is not None]
    figure, axes = plt.subplots(figsize=(7, 0.6 * len(rows) + 1.4), layout="constrained")
    scale = 100 if summary.metric == "accuracy" else 1
    axes.axvline(0, color=colour(summary.baseline), linewidth=1)
    for place, row in enumerate(rows):
        if row.versus is not None:
            _interval(axes, place, [scale * v for v in row.versus.difference], row.activation)
    axes.set_yticks(range(len(rows)), [row.activation for row in rows])
    axes.invert_yaxis()
    unit = ", points" if scale == 100 else ""
    axes.set_xlabel(f"difference in test {summary.metric} to {summary.baseline}{unit}")
    return finished(figure)


def histories(summary: Summary, results: list[TrialResult]) -> Figure:
    """Return mean training loss and mean test score of every epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for row in summary.rows:
        own = [r for r in results if r.activation == row.activation]
        losses, tests = _mean([r.loss for r in own]), _mean([r.test_scores for r in own])
        epochs = range(1, len(losses) + 1)
        left.plot(epochs, losses, color=colour(row.activation), label=row.activation)
        right.plot(epochs, tests, color=colour(row.activation))
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    right.set(xlabel="epoch", ylabel=f"test {summary.metric}")
    left.legend(frameon=False)
    return finished(figure)


def curves(sites: list[CurveSnapshot], columns: int = 4) -> Figure:
    """Return the learned curves, a panel a site: every channel thin, their mean thick, over the
    histogram of the inputs."""
    columns = min(columns, len(sites))
    rows = math.ceil(len(sites) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(3 * columns, 2.7 * rows), squeeze=False, layout="constrained"
    )
    for axes, site in zip(grid.flat, sites, strict=False):
        _site(axes, site)
    for axes in grid.flat[len(sites) :]:
        axes.set_visible(False)
    return finished(figure)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _site(axes: Axes, site: CurveSnapshot) -> None:
    x = site.edges
    lines = site.curve(x.unsqueeze(1).expand(-1, site.curve.channels))
    density = axes.twinx()
    density.stairs(site.counts.numpy(), x.numpy(), fill=True, color="#cbd5e1", alpha=0.7)
    density.set_axis_off()
    axes.set_zorder(density.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot(x, x.relu(), color=colour("relu"), linewidth=1, linestyle="--")
    axes.plot(x, lines.numpy(), color=colour("hinged"), linewidth=0.8, alpha=0.35)
    axes.plot(x, lines.mean(dim=1).numpy(), color=colour("hinged"), linewidth=2)
    for hinge in site.curve.hinges.reshape(-1, site.curve.hinges.shape[-1])[0].tolist():
        axes.axvline(hinge, color="#94a3b8", linewidth=0.4)
    title = f"layer {site.name}: {site.curve.channels} curves, {site.outside:.0%} of inputs outside"
    axes.set_title(title, fontsize=9)


def _interval(axes: Axes, place: int, interval: list[float], activation: str) -> None:
    mean, low, high = interval
    if not math.isnan(low):
        axes.plot([low, high], [place, place], color=colour(activation), linewidth=2.5)
    axes.plot([mean], [place], "D", color=colour(activation), markersize=6)


def _mean(series: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*series, strict=False)]


def finished(figure: Figure) -> Figure:
    """Return a figure without the frame's upper and right side."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def svg(figure: Figure) -> str:
    """Return a figure as SVG, the same text for the same figure, and close it."""
    buffer = io.StringIO()
    with mpl.rc_context(_SVG):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return re.sub(r"[ \t]+$", "", buffer.getvalue(), flags=re.M)
