"""Matplotlib figures of predictions: confusion matrices, and predicted numbers."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from hinged.lab.problems.predictions import ConfusionMatrix, PredictedNumbers
from hinged.lab.reporting.picture_data import SHARE_COLOURS, colour_of
from hinged.lab.reporting.plots import hide_top_and_right
from hinged.lab.reporting.prediction_data import MOST_NUMBERED_CLASSES, shares_of_classes

_COLUMNS = 3
_MAP = LinearSegmentedColormap.from_list("share", list(SHARE_COLOURS))


def draw_confusions(confusions: dict[str, ConfusionMatrix]) -> Figure:
    """Return a figure of the confusion matrix of each activation.

    A cell shows the percentage of the samples of a true class.

    Args:
        confusions: confusion matrix of each activation, the sum over seeds.
    """
    classes = max(len(matrix.names) for matrix in confusions.values())
    figure, panels = _grid(len(confusions), size=1.8 + 0.27 * classes)
    for axes, (activation, matrix) in zip(panels, confusions.items(), strict=True):
        _draw_confusion(axes, matrix)
        axes.set_title(activation, fontsize=9)
    return figure


def draw_numbers(numbers: dict[str, PredictedNumbers]) -> Figure:
    """Return a figure of predicted and true numbers, with a panel per activation and target.

    The dashed line shows where both are equal.

    Args:
        numbers: predicted numbers of each activation.
    """
    pairs = [(name, column) for name, each in numbers.items() for column in range(len(each.names))]
    figure, panels = _grid(len(pairs), size=3.0)
    for axes, (activation, column) in zip(panels, pairs, strict=True):
        each = numbers[activation]
        true, predicted = (part[:, column].numpy() for part in (each.targets, each.outputs))
        axes.plot(true, predicted, ".", color=colour_of(activation), alpha=0.4, ms=4)
        ends = [true.min(), true.max()]
        axes.plot(ends, ends, color=colour_of("relu"), linewidth=1, linestyle="--")
        axes.set(xlabel=f"true {each.names[column]}", ylabel="predicted")
        axes.set_title(activation, fontsize=9)
    return hide_top_and_right(figure)


def _grid(panels: int, size: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a number of square panels, and their axes.

    Args:
        panels: number of panels.
        size: width and height of a panel, in inches.
    """
    columns = min(_COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(size * columns, size * rows), squeeze=False, layout="constrained"
    )
    for axes in grid.flat[panels:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:panels])


def _draw_confusion(axes: Axes, matrix: ConfusionMatrix) -> None:
    shares = 100 * shares_of_classes(matrix.counts)
    axes.imshow(shares.numpy(), cmap=_MAP, vmin=0, vmax=100)
    ticks = range(len(matrix.names))
    axes.set_xticks(ticks, matrix.names, fontsize=7, rotation=90)
    axes.set_yticks(ticks, matrix.names, fontsize=7)
    axes.set_xlabel("predicted class", fontsize=8)
    axes.set_ylabel("true class, %", fontsize=8)
    if len(matrix.names) <= MOST_NUMBERED_CLASSES:
        for row, column in (shares >= 0.5).nonzero().tolist():
            share = shares[row, column].item()
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=6)
