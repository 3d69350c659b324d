"""The pictures of a comparison as interactive plotly figures, for its HTML page."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import plotly.io

from hinged.lab.reporting.comparison_table import ComparisonTable
from hinged.lab.reporting.picture_data import (
    HISTOGRAM_COLOUR,
    ActivationResults,
    CurvePanel,
    colour_of,
    difference_label,
    score_label,
)

LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    # The page has a light and a dark background.
    "paper_bgcolor": "rgba(0, 0, 0, 0)",
    "plot_bgcolor": "rgba(0, 0, 0, 0)",
    "margin": {"l": 10, "r": 10, "t": 36, "b": 50},
    "font": {"family": "system-ui, sans-serif", "size": 12},
    "modebar": {"bgcolor": "rgba(0, 0, 0, 0)", "color": "#94a3b8", "activecolor": "#475569"},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}
"""Layout of every figure."""
_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}
BELOW_A_MENU: dict[str, Any] = {
    "legend": {"orientation": "h", "y": -0.18, "yanchor": "top", "x": 0},
    "margin": {"l": 10, "r": 10, "t": 80, "b": 50},
}
"""Layout of a figure with a menu above it: the legend is below the figure."""
_NAME = 16
"""Largest number of characters of a layer's name in a menu."""
_CHANNELS = 24
"""Largest number of channels drawn for a layer. The drawn mean is over all channels."""


def to_html(
    figures: list[tuple[str, go.Figure]], plotly_file: str | None = None
) -> list[tuple[str, str]]:
    """Return pairs of title and HTML text, one for each pair of title and figure.

    Args:
        figures: pairs of title and figure.
        plotly_file: path of the plotly library, relative to the page. None to write the library
            into the first HTML text, so that the page needs no other file.
    """
    return [
        (
            title,
            plotly.io.to_html(
                figure,
                full_html=False,
                include_plotlyjs=(plotly_file or True) if number == 0 else False,
                div_id=f"figure-{number}",
                config=_CONFIG,
            ),
        )
        for number, (title, figure) in enumerate(figures)
    ]


def draw_scores(table: ComparisonTable, activations: list[ActivationResults]) -> go.Figure:
    """Return a figure of the test scores, with a line for each activation and a point per seed."""
    figure = go.Figure()
    for each in activations:
        figure.add_scatter(
            x=each.scores,
            y=[each.activation] * len(each.scores),
            mode="markers",
            marker={"color": each.colour, "size": 9, "opacity": 0.6},
            customdata=[[trial.seed, trial.seconds] for trial in each.trials],
            hovertemplate="%{y}, seed %{customdata[0]}: %{x:.2f} (%{customdata[1]:.1f} s)"
            "<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(height=_height(len(activations)), xaxis_title=score_label(table), **LAYOUT)
    figure.update_yaxes(autorange="reversed")
    return figure


def draw_differences(table: ComparisonTable, activations: list[ActivationResults]) -> go.Figure:
    """Return a figure of the mean score differences to the baseline, with their 95 % intervals.

    The differences are taken between trainings from the same seed.
    """
    figure = go.Figure()
    for each in activations:
        if each.difference is None:
            continue
        mean, low, high = each.difference
        figure.add_scatter(
            x=[mean],
            y=[each.activation],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - mean],
                "arrayminus": [mean - low],
                "thickness": 2.5,
            },
            mode="markers",
            marker={"color": each.colour, "size": 11, "symbol": "diamond"},
            hovertemplate="%{y}: %{x:+.2f}<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=0, line={"color": colour_of(table.baseline), "width": 1})
    figure.update_layout(
        height=_height(len(figure.data)), xaxis_title=difference_label(table), **LAYOUT
    )
    figure.update_yaxes(autorange="reversed")
    return figure


def draw_histories(table: ComparisonTable, activations: list[ActivationResults]) -> go.Figure:
    """Return a figure of the test score after every epoch, with a line for each training."""
    figure = go.Figure()
    for each in activations:
        for trial, history in zip(each.trials, each.histories, strict=True):
            figure.add_scatter(
                x=list(range(1, len(history) + 1)),
                y=history,
                mode="lines" if len(history) > 1 else "markers",
                line={"color": each.colour, "width": 1.2},
                opacity=0.6,
                name=each.activation,
                legendgroup=each.activation,
                showlegend=trial is each.trials[0],
                hovertemplate=f"{each.activation}, seed {trial.seed}, epoch %{{x}}: %{{y:.2f}}"
                "<extra></extra>",
            )
    figure.update_layout(height=380, xaxis_title="epoch", yaxis_title=score_label(table), **LAYOUT)
    epochs = max((len(history) for each in activations for history in each.histories), default=1)
    figure.update_xaxes(dtick=max(1, round(epochs / 8)))
    return figure


def draw_curves(panels: list[CurvePanel]) -> go.Figure:
    """Return a figure of the learned curves of one layer, with a menu to choose the layer.

    The menu also says which share of the inputs is outside the hinges.
    """
    figure = go.Figure()
    layer_of_trace: list[int] = []
    for layer, panel in enumerate(panels):
        before = len(figure.data)
        _add_panel(figure, panel, visible=layer == 0)
        layer_of_trace += [layer] * (len(figure.data) - before)
    buttons = [
        {
            "label": f"layer {_shorten(panel.layer)}: {panel.outside:.0%} of inputs outside",
            "method": "update",
            "args": [{"visible": [owner == layer for owner in layer_of_trace]}],
        }
        for layer, panel in enumerate(panels)
    ]
    figure.update_layout(
        height=430,
        xaxis_title="input of the activation",
        yaxis_title="output",
        yaxis2={"overlaying": "y", "side": "right", "visible": False, "rangemode": "tozero"},
        updatemenus=[menu(buttons)],
        bargap=0,
        **(LAYOUT | BELOW_A_MENU),
    )
    return figure


def menu(buttons: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a menu at the upper left of a figure, with the given buttons."""
    return {
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1.04,
        "yanchor": "bottom",
        "pad": {"l": 2},
        "bgcolor": "#ffffff",  # The default is the transparent background of the figure.
    }


def _shorten(name: str) -> str:
    """Return the end of a long name, so that a menu fits a narrow screen.

    >>> _shorten("features.block2.second.activation")
    '…cond.activation'
    """
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"


def _height(lines: int) -> int:
    """Return the height in pixels of a figure with a line for each activation."""
    return 110 + 40 * lines


def _add_panel(figure: go.Figure, panel: CurvePanel, *, visible: bool) -> None:
    figure.add_bar(
        x=((panel.x[1:] + panel.x[:-1]) / 2).tolist(),
        y=panel.counts.tolist(),
        yaxis="y2",
        marker_color=HISTOGRAM_COLOUR,
        opacity=0.6,
        name="inputs",
        hoverinfo="skip",
        visible=visible,
    )
    x, colour = panel.x.tolist(), colour_of("hinged")
    for number, channel in enumerate(panel.channels[:_CHANNELS]):
        figure.add_scatter(
            x=x,
            y=channel.tolist(),
            mode="lines",
            showlegend=False,
            line={"color": colour, "width": 1},
            opacity=0.5,
            hovertemplate=f"channel {number}: %{{x:.2f}} gives %{{y:.3f}}<extra></extra>",
            visible=visible,
        )
    for name, y, line in (
        ("mean of the channels", panel.mean, {"color": colour, "width": 3}),
        ("relu", panel.relu, {"color": colour_of("relu"), "width": 1.5, "dash": "dash"}),
    ):
        figure.add_scatter(x=x, y=y.tolist(), mode="lines", name=name, line=line, visible=visible)
