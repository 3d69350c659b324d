"""The results of a study as files for other programs: CSV, LaTeX and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hinged.lab.reporting.table_files import csv_text, latex_text
from hinged.lab.reporting.take_away_files import Formats, result_values, write_files
from hinged.lab.reporting.tuning_table import tuning_values
from hinged.lab.study import tables
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.record_plots import pictures_of
from hinged.lab.study.study_folder import StudyFolder


def write_study_files(
    folder: StudyFolder, record: StudyRecord, target: Path, formats: Formats
) -> list[Path]:
    """Write the results of a study as files, and return their paths.

    The files are `results.csv` (a row for each training of all cells), `table.csv` (a row for each
    activation in each cell), `tuning.csv` (a row for each combination of settings that was tried),
    `table.tex`, and the pictures in `plots`. A cell is one combination of the study's settings.

    Args:
        folder: the folder of the study.
        record: its record.
        target: the folder for the files. It is created if it does not exist.
        formats: the formats to write.

    Raises:
        UnknownNameError: if the format of the pictures does not exist.
        RunFolderError: if a file cannot be written.
    """
    formats.check()
    texts: dict[str, str] = {}
    if formats.csv:
        texts["results.csv"] = csv_text(_trial_rows(folder))
        texts["table.csv"] = csv_text([_row_values(row) for row in record.rows])
        if record.tuning:
            texts["tuning.csv"] = csv_text(_tuning_rows(record))
    if formats.latex:
        table = tables.results(record)
        texts["table.tex"] = latex_text(table.headings, (row.texts for row in table.rows))
    stem = f"{record.name}-{record.scale}"
    pictures = pictures_of(record) if formats.figures else []
    figures = {f"{stem}{picture.suffix}": picture.draw(record) for picture in pictures}
    return write_files(target, texts, figures, formats)


def _trial_rows(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return the figures of each training, with the settings of its cell first."""
    return [
        {"cell": cell.name, **_as_texts(dict(cell.point)), **result_values(result)}
        for cell in folder.plan.cells()
        if folder.run_folder(cell).holds_experiment
        for result in folder.run_folder(cell).results()
    ]


def _tuning_rows(record: StudyRecord) -> list[dict[str, Any]]:
    """Return a row for each combination of settings that was tried in a cell."""
    return [
        {"cell": cell, **_as_texts(values)}
        for cell, tuned in record.tuning.items()
        for values in tuning_values(tuned)
    ]


def _row_values(row: RecordRow) -> dict[str, Any]:
    """Return the figures of one row of the record, by the name of their column in `table.csv`."""
    values = {
        "cell": row.cell,
        **_as_texts(row.point),
        "label": row.label,
        "activation": row.activation,
        "seeds": row.n,
        "mean": row.mean,
        "std": row.std,
    }
    if row.versus is not None:
        versus = row.versus
        values |= {
            "compared_with": versus.label,
            "pairs": versus.pairs,
            "difference": versus.t.mean,
            "difference_low": versus.t.low,
            "difference_high": versus.t.high,
            "p": versus.p,
            "p_holm": versus.p_holm,
            "p_sign_flip": versus.p_sign_flip,
        }
    return values | {
        "test_score": row.test_score,
        "train_score": row.train_score,
        "parameters": row.parameters,
        "activation_parameters": row.activation_parameters,
        "step_ms": row.step_ms,
        "step_ratio": row.step_ratio,
        "kept_bytes": row.kept_bytes,
        "diverged": len(row.diverged),
        "data": row.data,
    }


def _as_texts(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with lists and tables as JSON texts."""
    return {
        name: json.dumps(value) if isinstance(value, list | tuple | dict) else value
        for name, value in settings.items()
    }
