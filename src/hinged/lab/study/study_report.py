"""The HTML page of a study, and the files that belong to it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import NamedTuple

import plotly.offline

from hinged.lab._write_file import write_file
from hinged.lab.reporting.html_page import render_page
from hinged.lab.reporting.plots import to_svg
from hinged.lab.reporting.report import write_report
from hinged.lab.reporting.warnings import warn_of_scores
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.study import tables
from hinged.lab.study.answer import Answer, answer
from hinged.lab.study.build_record import build_record
from hinged.lab.study.doubts import remaining_doubts, trouble
from hinged.lab.study.origin import origin
from hinged.lab.study.page import picture_files
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.study_folder import StudyFolder
from hinged.lab.study.wording import setting_words

PAGE = "report.html"
_LIBRARY = "plotly.min.js"
"""The library of the interactive figures, which the pages of all cells load from one file."""


class StudyReport(NamedTuple):
    """What the page of a study says.

    Attributes:
        record: the record of the study.
        answer: the answer to the study's question.
        warnings: sentences about what went wrong, and why scores may mean little.
    """

    record: StudyRecord
    answer: Answer
    warnings: list[str]


def write_study_report(folder: StudyFolder) -> StudyReport:
    """Write the record of a study, its pictures and its page `report.html` into its folder.

    The page needs no other file. It links to the page of each cell (one combination of the study's
    settings), which is written too if the cell has new results.

    Returns:
        The record of the study, and what the page says about it.

    Raises:
        RunFolderError: if the folder holds no study or no finished training, or if a file cannot be
            written.
    """
    record = build_record(folder)
    write_file(folder.path / "record.json", record.to_json())
    pictures = {
        name: (picture.description, to_svg(picture.draw(record)))
        for name, picture in picture_files(record).items()
    }
    for name, (_, svg) in pictures.items():
        write_file(folder.path / name, svg)
    library = folder.path / "cells" / _LIBRARY
    if not library.exists():
        write_file(library, plotly.offline.get_plotlyjs())
    runs = _finished_runs(folder, record)
    for run in runs:
        if _has_new_results(run):
            write_report(run, plotly_file=f"../{_LIBRARY}")
    said = answer(record, folder.plan.study.yes_if)
    report = StudyReport(record, said, _find_warnings(record, runs))
    write_file(folder.path / PAGE, _render(report, list(pictures.values()), runs))
    return report


def _find_warnings(record: StudyRecord, runs: list[RunFolder]) -> list[str]:
    """Return sentences about what went wrong, and why scores may mean little.

    Args:
        record: the record of the study.
        runs: the run folders of the cells that have results.
    """
    cells_of: dict[str, list[str]] = {}
    for run in runs:
        for sentence in warn_of_scores(run.experiment, run.results()):
            cells_of.setdefault(sentence, []).append(_cell_words(record, run))
    about_scores = [
        sentence if len(cells) == len(runs) else f"{'; '.join(cells)}: {sentence}"
        for sentence, cells in cells_of.items()
    ]
    return [*trouble(record), *about_scores]


def _finished_runs(folder: StudyFolder, record: StudyRecord) -> list[RunFolder]:
    """Return the run folders of the cells that have results."""
    runs = [folder.run_folder(cell) for cell in folder.plan.cells() if cell.name in record.cells]
    return [run for run in runs if run.results()]


def _render(report: StudyReport, pictures: list[tuple[str, str]], runs: list[RunFolder]) -> str:
    record, said, warnings = report
    first, *more = [(about, _as_address(svg)) for about, svg in pictures]
    return render_page(
        "study.html.jinja",
        record=record,
        verdict=said.verdict,
        lead=said.lead,
        more=[_without_marks(sentence) for sentence in said.more],
        warnings=[_without_marks(sentence) for sentence in warnings],
        picture=first,
        pictures=more,
        results=tables.results(record),
        how_to_read=tables.how_to_read(record),
        doubts=_without_marks(remaining_doubts(record)),
        details=tables.details(record),
        origin=_without_marks(origin(record)),
        links=[(_cell_words(record, run), f"cells/{run.path.name}/{PAGE}") for run in runs],
        environment=record.environments[0],
    )


def _cell_words(record: StudyRecord, run: RunFolder) -> str:
    """Return the settings of a cell in words, or its name if it has no settings of its own."""
    *_, row = (row for row in record.rows if row.cell == run.path.name)
    return setting_words(record, row) or row.cell


def _has_new_results(run: RunFolder) -> bool:
    """Whether the run folder has no page, or a result that is newer than its page."""
    page = run.path / PAGE
    if not page.exists():
        return True
    return any(_time(path) > _time(page) for path in (run.path / "trials").glob("*.json"))


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns


def _as_address(svg: str) -> str:
    """Return an address for an `img` element that contains the whole picture."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _without_marks(text: str) -> str:
    """Return a text without the backticks that mark code in Markdown."""
    return text.replace("`", "")
