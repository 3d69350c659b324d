"""The HTML page of a comparison: its result, table, pictures, settings and machine."""

from __future__ import annotations

from hinged import errors
from hinged.lab._write_file import write_file
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.reporting import interactive_plots, plots, terminal
from hinged.lab.reporting.comparison_table import (
    ComparisonTable,
    build_comparison_table,
    verdict,
)
from hinged.lab.reporting.html_page import render_page
from hinged.lab.reporting.picture_data import (
    ActivationResults,
    CurvePanel,
    curve_panel,
    results_by_activation,
)
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training.snapshots import read_snapshots


def write_report(folder: RunFolder) -> ComparisonTable:
    """Write the page `report.html` and the pictures `plots/*.png` into a run folder.

    Returns:
        The table of the comparison, which the page also shows.

    Raises:
        RunFolderError: if the folder holds no experiment or no finished training, or if a file
            cannot be written.
    """
    experiment, results = folder.experiment, folder.results()
    if not results:
        raise errors.RunFolderError(
            f"{folder.path} holds no finished trial yet, so there are no results to report. "
            "Run `hinged compare` with this folder first."
        )
    table = build_comparison_table(experiment, results)
    activations = results_by_activation(table, results)
    panels = _curve_panels(folder, experiment)
    _write_plots(folder, table, activations, panels)
    page = _render_page(experiment, table, results, activations, panels)
    write_file(folder.path / "report.html", page)
    return table


def _curve_panels(folder: RunFolder, experiment: Experiment) -> list[CurvePanel]:
    """Return the learned curves of every layer, from the first seed with saved curves.

    The list is empty if no seed has saved curves.
    """
    for seed in experiment.seeds:
        saved = folder.load_curves(Trial(activation="hinged", seed=seed))
        if panels := [curve_panel(snapshot) for snapshot in read_snapshots(saved)]:
            return panels
    return []


def _write_plots(
    folder: RunFolder,
    table: ComparisonTable,
    activations: list[ActivationResults],
    panels: list[CurvePanel],
) -> None:
    figures = {
        "scores": plots.draw_scores(table, activations),
        "differences": plots.draw_differences(table, activations),
        "histories": plots.draw_histories(table, activations),
    }
    if panels:
        figures["curves"] = plots.draw_curves(panels)
    for name, figure in figures.items():
        write_file(folder.path / "plots" / f"{name}.png", plots.to_png(figure))


def _render_page(
    experiment: Experiment,
    table: ComparisonTable,
    results: list[TrialResult],
    activations: list[ActivationResults],
    panels: list[CurvePanel],
) -> str:
    figures = [
        ("Differences to the baseline", interactive_plots.draw_differences(table, activations)),
        ("Every trial", interactive_plots.draw_scores(table, activations)),
        ("Scores during training", interactive_plots.draw_histories(table, activations)),
    ]
    if panels:
        figures.append(("Learned curves and their inputs", interactive_plots.draw_curves(panels)))
    return render_page(
        "report.html.jinja",
        experiment=experiment,
        about=results[-1].data_about or experiment.data,
        verdict=verdict(table) if "hinged" in experiment.activations else "",
        table=table,
        headings=terminal.headings(table),
        rows=[terminal.row_texts(row, table.metric) for row in table.rows],
        figures=interactive_plots.to_html(figures),
        environment=results[-1].environment,
        data_digest=results[0].data_digest,
        settings=experiment.model_dump_json(indent=2),
        seconds=sum(result.seconds for result in results),
    )
