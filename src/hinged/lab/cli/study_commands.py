"""Implements the commands `hinged study list`, `show`, `run`, `record` and `copy`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.markup import escape

from hinged import errors
from hinged.lab._write_file import possible_path, write_file
from hinged.lab.cli.console import (
    print_paths,
    print_table,
    resumable,
    show_progress,
    wide_console,
)
from hinged.lab.data.readers.data_files import find_data_folder
from hinged.lab.experiment.settings import PRECISIONS
from hinged.lab.reporting.fitted_table import FittedTable
from hinged.lab.reporting.take_away_files import PAGE_ONLY, Formats
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.study import tables
from hinged.lab.study.cells import read_study, study_cells
from hinged.lab.study.definition import Study, find_study, shipped_studies
from hinged.lab.study.doubts import remaining_doubts
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.scales import SCALES
from hinged.lab.study.sizes import expected_time, scale_size
from hinged.lab.study.study_files import write_study_files
from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from hinged.lab.study.study_report import PAGE, write_study_report
from hinged.lab.training.loggers import check_logger


def list_(as_json: bool) -> None:
    """Print the studies, with the number of trainings at each scale."""
    rows = _describe_shipped()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    sizes = [[f"{row['scales'][scale]['trainings']:,}" for scale in SCALES] for row in rows]
    texts = [(r["name"], r["question"], *size) for r, size in zip(rows, sizes, strict=True)]
    console = wide_console()
    print_table(console, FittedTable(("study", "question", *SCALES), texts, folded=(0, 1)))
    console.print(
        "The numbers count trainings. `hinged study show NAME` lists the comparisons of a study."
    )


def show(name: str, as_json: bool) -> None:
    """Print the question of a study and its comparisons at each scale."""
    path = find_study(name)
    study = read_study(path)
    if as_json:
        print(json.dumps({**_describe(name, study), "study": study.model_dump()}, indent=2))
        return
    console = wide_console()
    for text in filter(None, (f"[bold]{escape(study.question)}[/]", escape(study.unsure))):
        console.print(text, highlight=False)
    for scale in SCALES:
        console.print(f"\n[bold]{scale}[/]")
        size = scale_size(study, scale).as_words()
        time = expected_time(path.stem, study, scale)
        for what, text in {**size, "expected time": time}.items():
            line = text if what == "trainings" else f"{what}: {text}"
            console.print(escape(f"  {line}"), highlight=False)
        for cell in study_cells(study, scale):
            activations = ", ".join(cell.experiment.activations)
            console.print(escape(f"    {cell.name}: {activations}"), highlight=False)


def run(
    name: str,
    scale: str,
    out: Path | None,
    seeds: int | None,
    jobs: int | None,
    threads: int,
    precision: str | None,
    ray: str | None,
    logger: str,
    data_dir: Path | None,
    write_record: bool,
    records: Path,
    as_json: bool,
) -> None:
    """Run the trainings of a study that have no result yet, and print the record.

    The help texts in `hinged.cli.commands.study` explain the arguments.
    """
    path = find_study(name)
    study = read_study(path)
    fallback = study.scale(scale).fallback is not None and find_data_folder(data_dir) is None
    if precision not in (None, *PRECISIONS):
        raise errors.unknown_name("--precision", precision, PRECISIONS)
    for cell in study_cells(study, scale) if logger else ():
        for activation in cell.experiment.activations:
            own = cell.experiment.for_activation(activation)
            check_logger(logger, own.training.optimizer)
    plan = StudyPlan(
        name=path.stem, scale=scale, fallback=fallback, precision=precision, study=study
    )
    folder = StudyFolder(out or Path("runs") / f"study-{path.stem}-{scale}")
    folder.open(plan)
    if fallback and not as_json:
        instead = f"the study uses {study.scale(scale).fallback} instead"
        print(f"No folder with data sets was found, so {instead}.", file=sys.stderr)
    options = execution_options(ray, 1 if study.alone else jobs, threads)
    with resumable():
        with show_progress(as_json) as listener:
            folder.train(listener, seeds, logger=logger, **options, data_dir=data_dir)
        kept = records if write_record else None
        print_report(folder, as_json, records=kept, shown=listener.shown_warnings)


def record(folder: Path, records: Path, as_json: bool) -> None:
    """Write the record of a study from the results in its folder, and print it."""
    print_report(StudyFolder(folder), as_json, records=records)


def copy(name: str, to: Path) -> None:
    """Copy the file of a study to a new file or into a folder."""
    source = find_study(name)
    target = to / source.name if possible_path(to).is_dir() else to
    if (fault := _fault_of_target(target)) is not None:
        raise errors.ArgumentError(errors.message("hinged study copy", *fault))
    shutil.copyfile(source, target)
    print(f"Copied to {target}. To run the study: hinged study run {target}")


def _fault_of_target(target: Path) -> tuple[str, str] | None:
    """Return what is wrong with the path of a copy, and what to do; None if it is right."""
    if target.suffix != ".toml":
        return str(target), "give the path of a new file that ends with .toml, or a folder"
    if target.exists():
        return f"{target}, which exists already", "give another path, or delete this file first"
    if not target.parent.is_dir():
        got = f"{target}, but there is no folder {target.parent}"
        return got, "create this folder first, or give another path"
    return None


def _describe_shipped() -> list[dict[str, Any]]:
    return [_describe(name, read_study(find_study(name))) for name in shipped_studies()]


def _describe(name: str, study: Study) -> dict[str, Any]:
    return {
        "name": name,
        "question": study.question,
        "scales": {scale: scale_size(study, scale).model_dump() for scale in SCALES},
    }


def print_report(
    folder: StudyFolder,
    as_json: bool,
    *,
    records: Path | None = None,
    formats: Formats = PAGE_ONLY,
    target: Path | None = None,
    shown: Collection[str] = (),
) -> None:
    """Write the record, the pictures and the page of a study, and print the record.

    Args:
        folder: the folder of the study.
        as_json: whether to print the record as JSON instead of a table.
        records: a second folder for the record. None means that the record is not written there.
        formats: the formats of the files for other programs, whose paths are printed.
        target: the folder for these files; None for the folder of the study.
        shown: warnings that the user has seen already. They are not printed again.
    """
    record, said, warnings = write_study_report(folder)
    if records is not None:
        write_file(records / f"{record.name}-{record.scale}.json", record.to_json())
    paths = write_study_files(folder, record, target or folder.path, formats)
    if as_json:
        files = {"files": [str(path) for path in paths]} if paths else {}
        print(json.dumps({**json.loads(record.to_json()), **files}, indent=1))
        return
    console = wide_console()
    for sentence in [each for each in warnings if each not in shown]:
        console.print(f"[yellow]Warning:[/] {escape(sentence)}", highlight=False)
    print_table(console, _record_table(record))
    for text in (said.text, *said.more):
        console.print(escape(text), highlight=False)
    if doubts := remaining_doubts(record):
        console.print(f"What remains unsure: {escape(doubts)}", highlight=False)
    print_paths(console, folder.path / PAGE, paths)


def _record_table(record: StudyRecord) -> FittedTable:
    results = tables.results(record)
    return FittedTable(
        results.headings,
        [row.texts for row in results.rows],
        left_out=(len(results.headings) - 1,),
        found_in="The file record.json",
        bold=tuple({row.texts[0] for row in results.rows if row.stands_out}),
    )
