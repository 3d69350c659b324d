"""Everything that the reports of a run show: its table, predictions, curves and pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from hinged import errors
from hinged.lab._read_file import explain_read_errors
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.reporting import plots, prediction_plots
from hinged.lab.reporting.comparison_table import ComparisonTable, build_comparison_table
from hinged.lab.reporting.picture_data import (
    ActivationResults,
    CurvePanel,
    curve_panel,
    results_by_activation,
)
from hinged.lab.reporting.prediction_data import (
    MOST_CLASSES,
    PredictionData,
    read_prediction_data,
)
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.runs.tuning import TunedActivation, read_tuning
from hinged.lab.training.snapshots import read_snapshots


class ReportData(NamedTuple):
    """What the reports of a run show.

    Attributes:
        experiment: the settings of the run.
        results: results of its finished trainings, at least one.
        table: the table of the comparison.
        activations: the results of each activation, for drawing.
        panels: the learned curves of every layer; empty if none were saved.
        predictions: further scores, and the predictions on the test split.
        tuning: what was tried and chosen for each activation before; empty without tuning.
    """

    experiment: Experiment
    results: list[TrialResult]
    table: ComparisonTable
    activations: list[ActivationResults]
    panels: list[CurvePanel]
    predictions: PredictionData
    tuning: list[TunedActivation]

    def as_json(self) -> dict[str, Any]:
        """Return the table, the further scores, the accuracies of classes, the tuning, and what
        was found in the columns of a table of the user."""
        tuning = {"tuning": [each.model_dump() for each in self.tuning]} if self.tuning else {}
        notes = {"data_notes": self.results[-1].data_notes} if self.results[-1].data_notes else {}
        return {**self.table.as_json(), **self.predictions.as_json(), **tuning, **notes}


def read_report_data(folder: RunFolder) -> ReportData:
    """Return what the reports of a run show.

    Raises:
        RunFolderError: if the folder holds no experiment or no finished training.
    """
    experiment, results = folder.experiment, folder.results()
    if not results:
        raise errors.RunFolderError(
            f"{folder.path} holds no finished trial yet, so there are no results to report. "
            "Run `hinged compare` with this folder first."
        )
    table = build_comparison_table(experiment, results)
    table = replace(table, warnings=(*table.warnings, *_warn_of_lost_curves(folder, results)))
    return ReportData(
        experiment,
        results,
        table,
        results_by_activation(table, results),
        _curve_panels(folder, experiment),
        read_prediction_data(folder, table, results),
        read_tuning(folder),
    )


def draw_pictures(data: ReportData) -> dict[str, Figure]:
    """Return the pictures of a run as matplotlib figures, by file name without ending."""
    figures = {
        "scores": plots.draw_scores(data.table, data.activations),
        "differences": plots.draw_differences(data.table, data.activations),
        "histories": plots.draw_histories(data.table, data.activations),
    }
    if data.panels:
        figures["curves"] = plots.draw_curves(data.panels)
    if 0 < len(data.predictions.class_names) <= MOST_CLASSES:
        figures["confusion"] = prediction_plots.draw_confusions(data.predictions.confusions)
    if data.predictions.numbers:
        figures["predictions"] = prediction_plots.draw_numbers(data.predictions.numbers)
    return figures


def _warn_of_lost_curves(folder: RunFolder, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield a sentence if files of curves are missing, with what to do."""
    lost = [result for result in results if folder.has_lost_curves(result)]
    if lost:
        first = Trial(activation=lost[0].activation, seed=lost[0].seed)
        seeds = ", ".join(str(each.seed) for each in lost)
        yield (
            f"The files of the curves of seeds {seeds} are missing in {folder.path}, so pictures "
            f"leave them out. {folder.how_to_redo(first)}"
        )


def _curve_panels(folder: RunFolder, experiment: Experiment) -> list[CurvePanel]:
    """Return the learned curves of every layer, from the first seed with saved curves.

    The list is empty if no seed has saved curves.
    """
    for seed in experiment.seeds:
        trial = Trial(activation="hinged", seed=seed)
        saved, path = folder.load_curves(trial), folder.curves_path(trial)
        with explain_read_errors(path, "a file of curves", folder.how_to_redo(trial)):
            panels = [curve_panel(snapshot) for snapshot in read_snapshots(saved)]
        if panels:
            return panels
    return []
