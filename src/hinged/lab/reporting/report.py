"""The page: question, answer, table, interactive pictures, and everything needed to do it again."""

from __future__ import annotations

from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io

from hinged import errors
from hinged.lab._files import write_file
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.reporting import plots, terminal
from hinged.lab.reporting.comparison_table import Summary, diverged, summarise, verdict
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training.snapshots import CurveSnapshot, read_snapshots

_LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
    "font": {"family": "system-ui, sans-serif", "size": 13},
    "legend": {"orientation": "h", "y": 1.12},
}
_EXAMPLES = 24  # Channels drawn one by one for a site; the mean is over all.


def build(folder: RunFolder) -> Summary:
    """Write `report.html` and `plots/` from what the folder holds, and return the figures.

    Raises:
        RunFolderError: the folder holds no experiment, or none of its trials is finished.
    """
    experiment, results = folder.experiment, folder.results()
    if not results:
        raise errors.RunFolderError(
            f"{folder.path} holds no finished trial yet. Run the comparison first."
        )
    summary = summarise(experiment, results)
    learned = _learned(folder, experiment)
    _write_plots(folder, summary, results, learned)
    write_file(folder.path / "report.html", _page(experiment, summary, results, learned))
    return summary


def _learned(folder: RunFolder, experiment: Experiment) -> list[CurveSnapshot]:
    """Return the curves of the first seed that has any."""
    for seed in experiment.seeds:
        found = list(read_snapshots(folder.load_curves(Trial(activation="hinged", seed=seed))))
        if found:
            return found
    return []


def _write_plots(
    folder: RunFolder, summary: Summary, results: list[TrialResult], learned: list[CurveSnapshot]
) -> None:
    figures = {
        "scores": plots.scores(summary, results),
        "differences": plots.differences(summary),
        "histories": plots.histories(summary, results),
    }
    if learned:
        figures["curves"] = plots.curves(learned)
    for name, figure in figures.items():
        write_file(folder.path / "plots" / f"{name}.png", plots.png(figure))


def _page(
    experiment: Experiment,
    summary: Summary,
    results: list[TrialResult],
    learned: list[CurveSnapshot],
) -> str:
    figures = [
        ("Differences to the baseline", _differences(summary)),
        ("Every trial", _scores(summary, results)),
        ("Through training", _histories(summary, results)),
    ]
    if learned:
        figures.append(("Learned curves over the inputs they meet", _curves(learned)))
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("hinged.lab"), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("report.html.jinja")
    return template.render(
        experiment=experiment,
        about=results[-1].data_about or experiment.data,
        verdict=verdict(summary) if "hinged" in experiment.activations else "",
        diverged=diverged(summary),
        summary=summary,
        headings=terminal.headings(summary),
        rows=[terminal.cells(row, summary.metric) for row in summary.rows],
        figures=_html(figures),
        environment=results[-1].environment,
        data_digest=results[0].data_digest,
        settings=experiment.model_dump_json(indent=2),
        seconds=sum(result.seconds for result in results),
    )


def _html(figures: list[tuple[str, go.Figure]]) -> list[tuple[str, str]]:
    """Return title and HTML of each figure; the first carries the library for all."""
    return [
        (
            title,
            plotly.io.to_html(
                figure,
                full_html=False,
                include_plotlyjs=place == 0,
                div_id=f"figure-{place}",
                config={"displaylogo": False, "responsive": True},
            ),
        )
        for place, (title, figure) in enumerate(figures)
    ]


def _scale(summary: Summary) -> tuple[float, str]:
    return (100.0, ", %") if summary.metric == "accuracy" else (1.0, "")


def _scores(summary: Summary, results: list[TrialResult]) -> go.Figure:
    scale, unit = _scale(summary)
    figure = go.Figure()
    for row in summary.rows:
        own = [result for result in results if result.activation == row.activation]
        figure.add_scatter(
            x=[scale * result.test_score for result in own],
            y=[row.activation] * len(own),
            mode="markers",
            marker={"color": plots.colour(row.activation), "size": 9, "opacity": 0.6},
            customdata=[[result.seed, result.seconds] for result in own],
            hovertemplate="%{y}, seed %{customdata[0]}: %{x:.2f} (%{customdata[1]:.1f} s)"
            "<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(height=330, xaxis_title=f"test {summary.metric}{unit}", **_LAYOUT)
    figure.update_yaxes(autorange="reversed")
    return figure


def _differences(summary: Summary) -> go.Figure:
    scale, unit = _scale(summary)
    unit = ", points" if unit else ""
    figure = go.Figure()
    for row in summary.rows:
        if row.versus is None:
            continue
        mean, low, high = (scale * value for value in row.versus.difference)
        figure.add_scatter(
            x=[mean],
            y=[row.activation],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - mean],
                "arrayminus": [mean - low],
                "thickness": 2.5,
            },
            mode="markers",
            marker={"color": plots.colour(row.activation), "size": 11, "symbol": "diamond"},
            hovertemplate="%{y}: %{x:+.2f}<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=0, line={"color": plots.colour(summary.baseline), "width": 1})
    title = f"test {summary.metric} minus {summary.baseline}'s, same seeds{unit}"
    figure.update_layout(height=300, xaxis_title=title, **_LAYOUT)
    figure.update_yaxes(autorange="reversed")
    return figure


def _histories(summary: Summary, results: list[TrialResult]) -> go.Figure:
    scale, unit = _scale(summary)
    figure = go.Figure()
    for result in results:
        figure.add_scatter(
            x=list(range(1, len(result.test_scores) + 1)),
            y=[scale * value for value in result.test_scores],
            mode="lines",
            line={"color": plots.colour(result.activation), "width": 1.2},
            opacity=0.6,
            name=result.activation,
            legendgroup=result.activation,
            showlegend=result.seed == results[0].seed,
            hovertemplate=f"{result.activation}, seed {result.seed}, epoch %{{x}}: %{{y:.2f}}"
            "<extra></extra>",
        )
    figure.update_layout(
        height=380, xaxis_title="epoch", yaxis_title=f"test {summary.metric}{unit}", **_LAYOUT
    )
    return figure


def _curves(learned: list[CurveSnapshot]) -> go.Figure:
    """Return one site at a time, chosen from a list."""
    figure = go.Figure()
    owners: list[int] = []
    for place, site in enumerate(learned):
        before = len(figure.data)
        _add_site(figure, site, visible=place == 0)
        owners += [place] * (len(figure.data) - before)
    buttons = [
        {
            "label": f"layer {site.name} ({site.outside:.0%} of inputs outside the hinges)",
            "method": "update",
            "args": [{"visible": [owner == place for owner in owners]}],
        }
        for place, site in enumerate(learned)
    ]
    figure.update_layout(
        height=430,
        xaxis_title="input of the activation",
        yaxis_title="output",
        yaxis2={"overlaying": "y", "side": "right", "visible": False, "rangemode": "tozero"},
        updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.18}],
        bargap=0,
        **(_LAYOUT | {"legend": {"orientation": "h", "y": 1.12, "x": 0.45}, "margin": {"t": 60}}),
    )
    return figure


def _add_site(figure: go.Figure, site: CurveSnapshot, *, visible: bool) -> None:
    x = site.edges
    lines = site.curve(x.unsqueeze(1).expand(-1, site.curve.channels)).T
    middles = ((x[1:] + x[:-1]) / 2).tolist()
    shown = {"visible": visible}
    figure.add_bar(
        x=middles,
        y=site.counts.tolist(),
        yaxis="y2",
        marker_color="#cbd5e1",
        opacity=0.6,
        name="inputs",
        hoverinfo="skip",
        **shown,
    )
    for channel in range(min(site.curve.channels, _EXAMPLES)):
        figure.add_scatter(
            x=x.tolist(),
            y=lines[channel].tolist(),
            mode="lines",
            showlegend=False,
            line={"color": plots.colour("hinged"), "width": 1},
            opacity=0.5,
            hovertemplate=f"channel {channel}: %{{x:.2f}} gives %{{y:.3f}}<extra></extra>",
            **shown,
        )
    figure.add_scatter(
        x=x.tolist(),
        y=lines.mean(dim=0).tolist(),
        mode="lines",
        name="mean of the channels",
        line={"color": plots.colour("hinged"), "width": 3},
        **shown,
    )
    figure.add_scatter(
        x=x.tolist(),
        y=x.relu().tolist(),
        mode="lines",
        name="relu",
        line={"color": plots.colour("relu"), "width": 1.5, "dash": "dash"},
        **shown,
    )
