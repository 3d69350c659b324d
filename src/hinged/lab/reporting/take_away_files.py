"""The results of a run as files for other programs: CSV, LaTeX and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from hinged import errors
from hinged.lab._write_file import write_file
from hinged.lab.reporting import plots, terminal
from hinged.lab.reporting.comparison_table import ComparisonRow
from hinged.lab.reporting.prediction_data import PredictionData
from hinged.lab.reporting.report_data import ReportData, draw_pictures
from hinged.lab.reporting.table_files import csv_text, latex_text
from hinged.lab.reporting.tuning_table import tuning_values
from hinged.lab.runs.trial_result import TrialResult

_PICTURE_FORMATS = {"pdf": plots.to_pdf, "png": plots.to_png, "svg": plots.to_svg}


class Formats(NamedTuple):
    """The formats of the files to write.

    Attributes:
        csv: whether to write CSV tables.
        latex: whether to write a LaTeX table.
        figures: format of the pictures, `svg`, `pdf` or `png`; None for no pictures.
    """

    csv: bool = False
    latex: bool = False
    figures: str | None = None

    def check(self) -> None:
        """Raise an `UnknownNameError` if the format of the pictures does not exist."""
        if self.figures is not None and self.figures not in _PICTURE_FORMATS:
            raise errors.unknown_name("figures", self.figures, _PICTURE_FORMATS)


PAGE_ONLY = Formats()
"""No files except the page of a run or study."""


def write_run_files(data: ReportData, folder: Path, formats: Formats) -> list[Path]:
    """Write the results of a run as files, and return their paths.

    The files are `results.csv` (a row for each training), `table.csv` (a row for each activation),
    `table.tex`, and the pictures in `plots`. A classification also has `classes.csv` with the
    accuracy of each class, and `confusions.csv` with the number of samples for each pair of a true
    and a predicted class. If settings were tuned, `tuning.csv` has a row for each combination of
    settings that was tried.

    Args:
        data: the results of the run.
        folder: the folder for the files. It is created if it does not exist.
        formats: the formats to write.

    Raises:
        UnknownNameError: if the format of the pictures does not exist.
        RunFolderError: if a file cannot be written.
    """
    formats.check()
    table, predictions = data.table, data.predictions
    texts: dict[str, str] = {}
    if formats.csv:
        texts["results.csv"] = csv_text([result_values(each) for each in data.results])
        texts["table.csv"] = csv_text([_row_values(row, predictions) for row in table.rows])
        if data.tuning:
            texts["tuning.csv"] = csv_text(tuning_values(data.tuning))
        if predictions.confusions:
            texts["classes.csv"] = csv_text(_class_rows(predictions))
            texts["confusions.csv"] = csv_text(_confusion_rows(predictions))
    if formats.latex:
        rows = (terminal.row_texts(row, table.metric) for row in table.rows)
        texts["table.tex"] = latex_text(terminal.headings(table), rows)
    figures = draw_pictures(data) if formats.figures else {}
    return write_files(folder, texts, figures, formats)


def write_files(
    folder: Path, texts: Mapping[str, str], figures: Mapping[str, Figure], formats: Formats
) -> list[Path]:
    """Write texts and figures into a folder, and return the paths of the files.

    Args:
        folder: the folder. It is created if it does not exist.
        texts: the content of each text file, by file name.
        figures: the figures, by file name without ending. They are written into the folder `plots`
            and closed.
        formats: its attribute `figures` is the format of the figures.
    """
    contents: dict[Path, str | bytes] = {folder / name: text for name, text in texts.items()}
    if formats.figures is not None:
        convert: Any = _PICTURE_FORMATS[formats.figures]
        for name, figure in figures.items():
            contents[folder / "plots" / f"{name}.{formats.figures}"] = convert(figure)
    for path, content in contents.items():
        write_file(path, content)
    return list(contents)


def result_values(result: TrialResult) -> dict[str, Any]:
    """Return the figures of one training, by the name of their column in `results.csv`.

    The loss and the shares of dead and dormant units are those of the epoch whose network was
    scored.
    """
    return {
        "activation": result.activation,
        "seed": result.seed,
        "fold": result.fold,
        "metric": result.metric,
        "test_score": result.test_score,
        "train_score": result.train_score,
        **{_column(name): score for name, score in result.other_scores.items()},
        "validation_score": result.validation_score,
        "best_epoch": result.best_epoch,
        "loss": result.loss[result.scored_epoch],
        "diverged": result.diverged,
        "epochs": len(result.loss),
        "parameters": result.parameters,
        "activation_parameters": result.activation_parameters,
        "step_ms": result.step_ms,
        "seconds": result.seconds,
        "kept_bytes": result.kept_bytes,
        "dead": result.dead[result.scored_epoch] if result.dead else None,
        "dormant": result.dormant[result.scored_epoch] if result.dormant else None,
        "pretrained": result.pretrained,
        "data_digest": result.data_digest,
        "finished": result.finished,
    }


def _row_values(row: ComparisonRow, predictions: PredictionData) -> dict[str, Any]:
    """Return the figures of one activation, by the name of their column in `table.csv`."""
    mean = low = high = p = pairs = None
    if row.versus is not None:
        (mean, low, high), p, pairs = row.versus
    values = {
        "activation": row.activation,
        "seeds": row.seeds,
        "score": row.score.mean,
        "score_low": row.score.low,
        "score_high": row.score.high,
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
        "p": p,
        "p_corrected": row.p_corrected,
        "pairs": pairs,
    }
    for name, score in predictions.scores[row.activation].items():
        column = _column(name)
        values |= {column: score.mean, f"{column}_low": score.low, f"{column}_high": score.high}
    return values | {
        "parameters": row.parameters,
        "activation_parameters": row.activation_parameters,
        "step_ms": row.step_ms,
        "step_ratio": row.step_ratio,
        "kept_mib": row.kept_mib,
        "diverged": len(row.diverged),
    }


def _class_rows(predictions: PredictionData) -> list[dict[str, Any]]:
    accuracies = predictions.class_accuracies()
    return [
        {"class": name, **{activation: each[i] for activation, each in accuracies.items()}}
        for i, name in enumerate(predictions.class_names)
    ]


def _confusion_rows(predictions: PredictionData) -> list[dict[str, Any]]:
    """Return a row for each activation, true class and predicted class with any samples."""
    return [
        {
            "activation": activation,
            "true": each.names[i],
            "predicted": each.names[j],
            "samples": int(each.counts[i, j]),
        }
        for activation, each in predictions.confusions.items()
        for i, j in each.counts.nonzero().tolist()
    ]


def _column(score: str) -> str:
    return score.replace(" ", "_")
