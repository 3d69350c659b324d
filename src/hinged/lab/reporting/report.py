"""The HTML page of a comparison: its result, table, pictures, settings and machine."""

from __future__ import annotations

import plotly.graph_objects as go

from hinged.lab._write_file import write_file
from hinged.lab.reporting import (
    interactive_plots,
    interactive_predictions,
    plots,
    terminal,
    tuning_table,
)
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.reporting.html_page import render_page
from hinged.lab.reporting.prediction_data import MOST_CLASSES
from hinged.lab.reporting.prediction_tables import class_tables, score_table
from hinged.lab.reporting.report_data import ReportData, draw_pictures, read_report_data
from hinged.lab.runs.run_folder import RunFolder


def write_report(folder: RunFolder, plotly_file: str | None = None) -> ReportData:
    """Write the page `report.html` and the pictures `plots/*.png` into a run folder.

    Args:
        folder: the run folder.
        plotly_file: path of the plotly library, relative to the page. None to write the library
            into the page, which then needs no other file.

    Returns:
        What the page shows.

    Raises:
        RunFolderError: if the folder holds no experiment or no finished training, or if a file
            cannot be written.
    """
    data = read_report_data(folder)
    write_page(folder, data, plotly_file)
    return data


def write_page(folder: RunFolder, data: ReportData, plotly_file: str | None = None) -> None:
    """Write the page and the pictures of `write_report` from data that were read before."""
    for name, figure in draw_pictures(data).items():
        write_file(folder.path / "plots" / f"{name}.png", plots.to_png(figure))
    write_file(folder.path / "report.html", _render_page(data, plotly_file))


def _render_page(data: ReportData, plotly_file: str | None) -> str:
    experiment, results, table = data.experiment, data.results, data.table
    return render_page(
        "report.html.jinja",
        experiment=experiment,
        about=results[-1].data_about or experiment.data,
        data_notes=results[-1].data_notes,
        verdict=verdict(table) if "hinged" in experiment.activations else "",
        table=table,
        headings=terminal.headings(table),
        rows=[terminal.row_texts(row, table.metric) for row in table.rows],
        tuning=[tuning_table.tuning_row(each) for each in data.tuning],
        tuning_headings=tuning_table.tuning_headings(table.metric),
        tuning_title=tuning_table.TITLE,
        tuning_about=tuning_table.ABOUT + tuning_table.ABOUT_FOLDS * (experiment.folds is not None),
        more_scores=score_table(table, data.predictions),
        class_tables=class_tables(data.predictions),
        figures=interactive_plots.to_html(_interactive_figures(data), plotly_file),
        environment=results[-1].environment,
        data_digest=results[0].data_digest,
        settings=experiment.model_dump_json(indent=2),
        seconds=sum(result.seconds for result in results),
    )


def _interactive_figures(data: ReportData) -> list[tuple[str, go.Figure]]:
    """Return the figures of the page with their titles."""
    table, activations, predictions = data.table, data.activations, data.predictions
    figures = [
        ("Differences to the baseline", interactive_plots.draw_differences(table, activations)),
        ("Every trial", interactive_plots.draw_scores(table, activations)),
        ("Scores during training", interactive_plots.draw_histories(table, activations)),
    ]
    if 0 < len(predictions.class_names) <= MOST_CLASSES:
        confusions = interactive_predictions.draw_confusions(predictions.confusions)
        figures.append(("True and predicted classes, mean over seeds, %", confusions))
    if predictions.numbers:
        numbers = interactive_predictions.draw_numbers(predictions.numbers)
        figures.append(("True and predicted numbers, first seed", numbers))
    if data.panels:
        curves = interactive_plots.draw_curves(data.panels)
        figures.append(("Learned curves and their inputs", curves))
    return figures
