"""The numbers, labels and colours in the pictures of a comparison.

Two modules draw these pictures: `hinged.lab.reporting.plots` with matplotlib, for PNG files, and
`hinged.lab.reporting.interactive_plots` with plotly, for the HTML page.
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
SHARE_COLOURS = ((0.0, "#ffffff"), (0.3, "#fed7aa"), (1.0, "#f97316"))
"""Colours of shares from 0 to 1, from which the colours of other shares are interpolated.

Dark text can be read on all of them. On a dark page, they are inverted, and so is the text.
"""


def colour_of(activation: str) -> str:
    """Return the colour of an activation in all pictures, as a hexadecimal text."""
    return COLOURS.get(activation, _OTHER_COLOUR)


class ActivationResults(NamedTuple):
    """The results of one activation, for drawing. Accuracies are in percent.

    Attributes:
        activation: name of the activation.
        colour: its colour, a hexadecimal text.
        mean: mean test score with its 95 % interval.
        difference: mean difference to the baseline with its 95 % interval; None for the baseline,
            and for fewer than two seeds at which both activations have a score.
        trials: the results with their accuracies from 0 to 1, one for each seed.
        scores: test scores, one for each seed.
        histories: test scores after each epoch, one list for each seed.
        mean_history: test score after each epoch, the mean over seeds.
        mean_loss: training loss of each epoch, the mean over seeds.
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
    """The learned curves of one layer and the histogram of its inputs.

    The layer has C curves, and the histogram has B bins.

    Attributes:
        layer: name of the layer in the network.
        x: edges of the bins, shape `(B + 1,)`. The curves are drawn at these inputs.
        channels: output of each curve at `x`, shape `(C, B + 1)`.
        mean: mean output over the curves, shape `(B + 1,)`.
        relu: output of ReLU at `x`, shape `(B + 1,)`.
        hinges: positions of the hinges of the first curve.
        counts: number of inputs in each bin, shape `(B,)`.
        outside: fraction of the inputs below the first or above the last hinge, from 0 to 1.
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
    """Return the results of each activation, in the order of the rows of the table.

    Args:
        table: the table of the comparison.
        results: the results of its finished trainings.
    """
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
    """Return the label of an axis that shows test scores."""
    return f"test {table.metric}{', %' if table.metric == 'accuracy' else ''}"


def difference_label(table: ComparisonTable) -> str:
    """Return the label of an axis that shows score differences to the baseline."""
    unit = ", points" if table.metric == "accuracy" else ""
    return f"test {table.metric} minus {table.baseline}'s{unit}"


def curve_panel(snapshot: CurveSnapshot) -> CurvePanel:
    """Return the numbers from which the curves of one layer are drawn."""
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
