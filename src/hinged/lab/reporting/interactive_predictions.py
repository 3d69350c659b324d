"""Interactive plotly figures of predictions: confusion matrices, and predicted numbers."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from hinged.lab.problems.predictions import ConfusionMatrix, PredictedNumbers
from hinged.lab.reporting.interactive_plots import BELOW_A_MENU, LAYOUT, menu
from hinged.lab.reporting.picture_data import SHARE_COLOURS, colour_of
from hinged.lab.reporting.prediction_data import MOST_NUMBERED_CLASSES, shares_of_classes


def draw_confusions(confusions: dict[str, ConfusionMatrix]) -> go.Figure:
    """Return a figure of one confusion matrix, with a menu to choose the activation.

    A cell shows the percentage of the samples of a true class.

    Args:
        confusions: confusion matrix of each activation, the sum over seeds.
    """
    figure = go.Figure()
    for number, (activation, matrix) in enumerate(confusions.items()):
        figure.add_heatmap(
            z=(100 * shares_of_classes(matrix.counts)).numpy(),
            x=list(matrix.names),
            y=list(matrix.names),
            customdata=matrix.counts.numpy(),
            zmin=0,
            zmax=100,
            colorscale=list(SHARE_COLOURS),
            showscale=False,
            xgap=1,
            ygap=1,
            text=_cell_texts(matrix),
            texttemplate="%{text}",
            textfont={"color": "#0f172a"},
            hovertemplate=f"{activation}: %{{y}} taken for %{{x}}, %{{z:.1f}} % "
            "(%{customdata} samples, all seeds)<extra></extra>",
            visible=number == 0,
        )
    classes = max(len(matrix.names) for matrix in confusions.values())
    figure.update_layout(
        height=220 + 30 * classes,
        updatemenus=[menu(_buttons(list(confusions), 1))],
        **(LAYOUT | BELOW_A_MENU),
    )
    figure.update_xaxes(title="predicted class", type="category", showgrid=False)
    figure.update_yaxes(
        title="true class",
        type="category",
        autorange="reversed",
        dtick=1,
        showgrid=False,
        ticksuffix=" ",
    )
    return figure


def draw_numbers(numbers: dict[str, PredictedNumbers]) -> go.Figure:
    """Return a scatter plot of predicted and true numbers, with a menu of activations and targets.

    The line shows where both are equal.

    Args:
        numbers: predicted numbers of each activation.
    """
    figure = go.Figure()
    labels = []
    for activation, each in numbers.items():
        for column, target in enumerate(each.names):
            labels.append(activation if len(each.names) == 1 else f"{activation}, {target}")
            _add_scatter(figure, each, column, colour_of(activation), visible=len(labels) == 1)
    figure.update_layout(
        height=480,
        updatemenus=[menu(_buttons(labels, 2))],
        xaxis_title="true",
        yaxis_title="predicted",
        showlegend=False,
        **(LAYOUT | BELOW_A_MENU),
    )
    return figure


def _add_scatter(
    figure: go.Figure, numbers: PredictedNumbers, column: int, colour: str, *, visible: bool
) -> None:
    """Add the line of equal numbers, and a point for each sample, of one target."""
    true, predicted = (each[:, column].numpy() for each in (numbers.targets, numbers.outputs))
    ends = [float(true.min()), float(true.max())]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"color": colour_of("relu"), "width": 1, "dash": "dash"},
        hoverinfo="skip",
        visible=visible,
    )
    figure.add_scatter(
        x=true,
        y=predicted,
        mode="markers",
        marker={"color": colour, "size": 5, "opacity": 0.5},
        hovertemplate=f"{numbers.names[column]}: true %{{x:.4g}}, predicted %{{y:.4g}}"
        "<extra></extra>",
        visible=visible,
    )


def _buttons(labels: list[str], traces: int) -> list[dict[str, Any]]:
    """Return the buttons of a menu that shows the traces of one label at a time.

    Args:
        labels: the labels, in the order of the traces.
        traces: number of traces of each label.
    """
    return [
        {
            "label": label,
            "method": "update",
            "args": [{"visible": [n // traces == chosen for n in range(traces * len(labels))]}],
        }
        for chosen, label in enumerate(labels)
    ]


def _cell_texts(matrix: ConfusionMatrix) -> list[list[str]]:
    if len(matrix.names) > MOST_NUMBERED_CLASSES:
        return [["" for _ in matrix.names] for _ in matrix.names]
    return [
        [f"{100 * share:.0f}" if share >= 0.005 else "" for share in row]
        for row in shares_of_classes(matrix.counts).tolist()
    ]
