"""What the pictures of a comparison show: numbers, labels and colours.

`hinged.lab.reporting.plots` draws them by matplotlib for PNG files, and
`hinged.lab.reporting.interactive_plots` draws them by plotly for the page.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from hinged.lab.reporting.comparison_table import ComparisonTable
from hinged.lab.reporting.significance import Interval
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training.snapshots import CurveSnapshot

COLOURS = {
    "hinged": "#c2410c",
    "relu": "#334155",
    "leaky_relu": "#0369a1",
    "prelu": "#15803d",
    "silu": "#7e22ce",
}
_OTHER_COLOUR = "#64748b"
HISTOGRAM_COLOUR = "#cbd5e1"


def colour_of(activation: str) -> str:
    """Return the colour of an activation, the same in all pictures."""
    return COLOURS.get(activation, _OTHER_COLOUR)


class ActivationResults(NamedTuple):
    """The results of one activation, in the units of the axes.

    Attributes:
        activation, colour: its name and colour.
        mean: mean test score with its interval.
        difference: difference to the baseline with its interval; None for the baseline.
        trials: its results, one for each seed.
        scores: test scores, one for each seed.
        histories: test scores after each epoch, one list for each seed.
        mean_history, mean_loss: test score and training loss of each epoch, mean over seeds.
    """

    activation: str
    colour: str
    mean: Interval
    difference: Interval | None
    trials: list[TrialResult]
    scores: list[float]
    histories: list[list[float]]
    mean_history: list[float]
    mean_loss: list[float]


class CurvePanel(NamedTuple):
    """The learned curves of one layer.

    Attributes:
        layer: name of the layer in the network.
        x: inputs, the edges of the histogram's bins, shape `(B + 1,)`.
        channels: outputs of each curve at `x`, shape `(C, B + 1)`.
        mean: mean output over channels, shape `(B + 1,)`.
        relu: ReLU at `x`, shape `(B + 1,)`.
        hinges: positions of the hinges of the first curve.
        counts: number of inputs in each bin, shape `(B,)`.
        outside: share of inputs outside the hinges.
    """

    layer: str
    x: Tensor
    channels: Tensor
    mean: Tensor
    relu: Tensor
    hinges: list[float]
    counts: Tensor
    outside: float


def results_by_activation(
    table: ComparisonTable, results: list[TrialResult]
) -> list[ActivationResults]:
    """Return the results of each activation, in the order of the table."""
    return [
        _scaled_results(
            [result for result in results if result.activation == row.activation],
            row.activation,
            row.score,
            None if row.versus is None else row.versus.difference,
            100 if table.metric == "accuracy" else 1,
        )
        for row in table.rows
    ]


def score_label(table: ComparisonTable) -> str:
    """Return the label of an axis of test scores."""
    return f"test {table.metric}{', %' if table.metric == 'accuracy' else ''}"


def difference_label(table: ComparisonTable) -> str:
    """Return the label of an axis of differences to the baseline."""
    unit = ", points" if table.metric == "accuracy" else ""
    return f"difference in test {table.metric} to {table.baseline}{unit}"


def curve_panel(snapshot: CurveSnapshot) -> CurvePanel:
    """Return what to draw of one layer's curves."""
    x, curve = snapshot.edges, snapshot.curve
    channels = curve(x.unsqueeze(1).expand(-1, curve.channels)).T
    hinges = curve.hinges.reshape(-1, curve.hinges.shape[-1])[0].tolist()
    return CurvePanel(
        layer=snapshot.name,
        x=x,
        channels=channels,
        mean=channels.mean(dim=0),
        relu=x.relu(),
        hinges=hinges,
        counts=snapshot.counts,
        outside=snapshot.outside,
    )


def _scaled_results(
    trials: list[TrialResult],
    activation: str,
    mean: Interval,
    difference: Interval | None,
    scale: float,
) -> ActivationResults:
    histories = [[scale * score for score in trial.test_scores] for trial in trials]
    return ActivationResults(
        activation=activation,
        colour=colour_of(activation),
        mean=Interval(*(scale * value for value in mean)),
        difference=None if difference is None else Interval(*(scale * v for v in difference)),
        trials=trials,
        scores=[scale * trial.test_score for trial in trials],
        histories=histories,
        mean_history=_mean_by_epoch(histories),
        mean_loss=_mean_by_epoch([trial.loss for trial in trials]),
    )


def _mean_by_epoch(series: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*series, strict=False)]
