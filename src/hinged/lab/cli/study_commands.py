"""The commands of `hinged study`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hinged import errors
from hinged.lab._files import write_file
from hinged.lab.data.readers.data_files import find_data_folder
from hinged.lab.experiment.environment import PRECISIONS
from hinged.lab.reporting import terminal
from hinged.lab.reporting.plots import svg
from hinged.lab.runs.compare import ProgressListener
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.study import page
from hinged.lab.study.answer import answer, unsure
from hinged.lab.study.cells import cells, read
from hinged.lab.study.definition import SCALES, Study, find, names
from hinged.lab.study.record import Record
from hinged.lab.study.record import record as make_record
from hinged.lab.study.study_folder import Plan, StudyFolder

app = typer.Typer(
    help="Studies: a question, a grid of comparisons, and the record of the answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RECORDS = Path("studies") / "records"

_Name = Annotated[str, typer.Argument(help="A name that `list` shows, or a file.toml.")]
_Records = Annotated[Path, typer.Option(help="Folder of the records.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]


@app.command(name="list")
def list_(as_json: _AsJson = False) -> None:
    """The studies that are shipped, and how large they are."""
    rows = [_described(name, read(find(name))) for name in names()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("study", "question", *SCALES):
        shown.add_column(heading, justify="right" if heading in SCALES else "left")
    for row in rows:
        sizes = [f"{row['scales'][scale]['trainings']:,}" for scale in SCALES]
        shown.add_row(row["name"], escape(row["question"]), *sizes)
    console = _console()
    console.print(shown)
    console.print("Numbers are trainings. `hinged study show NAME` says what they are.")


@app.command()
def show(name: _Name, as_json: _AsJson = False) -> None:
    """A study's question, and every experiment of it at every scale."""
    study = read(find(name))
    if as_json:
        print(json.dumps({**_described(name, study), "study": study.model_dump()}, indent=2))
        return
    console = _console()
    console.print(f"[bold]{escape(study.question)}[/]\n{escape(study.unsure)}", highlight=False)
    for scale in SCALES:
        console.print(f"\n[bold]{scale}[/]: {study.scale(scale).seeds} seeds")
        for cell in cells(study, scale):
            activations = ", ".join(cell.experiment.activations)
            console.print(escape(f"  {cell.name}: {activations}"), highlight=False)


@app.command()
def run(
    name: _Name,
    scale: Annotated[str, typer.Option(help="smoke, small or full.")] = "small",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; the same command continues it.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="So many instead of the scale's; more extend a run.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings at once; default: one for each core.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each training.")] = 1,
    precision: Annotated[
        str | None,
        typer.Option(help="float32 or bf16, where the study says auto; default: what is fast."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Train on a Ray cluster: its address, or local to start one here.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of data sets; default: $HINGED_DATA.")
    ] = None,
    take: Annotated[bool, typer.Option("--record", help="Write the record as well.")] = False,
    records: _Records = RECORDS,
    as_json: _AsJson = False,
) -> None:
    """Do every training of a study that its folder does not hold yet.

    Stopped at any moment, the same command goes on where it was; started twice, both share the
    work. A training that fails leaves its error in the folder, and the others go on.
    """
    path = find(name)
    study = read(path)
    fallback = study.scale(scale).fallback is not None and find_data_folder(data_dir) is None
    if precision not in (None, *PRECISIONS):
        raise errors.unknown_name("--precision", precision, PRECISIONS)
    plan = Plan(name=path.stem, scale=scale, fallback=fallback, precision=precision, study=study)
    folder = StudyFolder(out or Path("runs") / f"study-{path.stem}-{scale}")
    folder.open(plan)
    if fallback and not as_json:
        print(f"No folder of data sets: {study.scale(scale).fallback} instead.", file=sys.stderr)
    places = execution_options(ray, 1 if study.alone else jobs, threads)
    _train(folder, seeds, as_json, **places, data_dir=data_dir)
    _finish(folder, records if take else None, as_json)


@app.command()
def record(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    records: _Records = RECORDS,
    as_json: _AsJson = False,
) -> None:
    """Write the record of what a folder holds, for `docs/studies.py` to draw its page from."""
    _finish(StudyFolder(folder), records, as_json)


@app.command()
def copy(
    name: _Name, to: Annotated[Path, typer.Argument(help="A new file, or a folder to put it in.")]
) -> None:
    """Copy the file of a study, to change it and run it as your own."""
    source = find(name)
    target = to / source.name if to.is_dir() else to
    if target.exists() or target.suffix != ".toml" or not target.parent.is_dir():
        hint = "give a new file.toml in a folder that exists"
        raise errors.ArgumentError(errors.message("hinged study copy", str(target), hint))
    shutil.copyfile(source, target)
    print(f"{target}: run it by `hinged study run {target}`.")


def _described(name: str, study: Study) -> dict[str, Any]:
    sizes = {scale: [cell.experiment for cell in cells(study, scale)] for scale in SCALES}
    return {
        "name": name,
        "question": study.question,
        "scales": {
            scale: {"cells": len(each), "trainings": sum(len(e.trials) for e in each)}
            for scale, each in sizes.items()
        },
    }


def _train(folder: StudyFolder, seeds: int | None, as_json: bool, **options: Any) -> None:
    try:
        if as_json:
            folder.train(ProgressListener(), seeds, **options)
        else:
            with terminal.TerminalProgress(Console()) as listener:
                folder.train(listener, seeds, **options)
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the latter of SIGINT and SIGTERM.
        print("hinged: stopped; the same command continues.", file=sys.stderr)
        raise typer.Exit(130) from None


def _finish(folder: StudyFolder, records: Path | None, as_json: bool) -> None:
    """Write table and picture into the folder and the record where it is wanted; print them."""
    found = make_record(folder)
    text = found.model_dump_json(indent=1) + "\n"
    write_file(folder.path / "record.json", text)
    for name, draw in page.pictures(found).items():
        write_file(folder.path / name, svg(draw(found)))
    if records is not None:
        write_file(records / f"{found.name}-{found.scale}.json", text)
    if as_json:
        print(text, end="")
        return
    console = _console()
    console.print(_table(found))
    console.print(answer(found), highlight=False)
    console.print(f"What remains unsure: {unsure(found)}", highlight=False)
    console.print(f"Folder: {folder.path}", highlight=False, soft_wrap=True)


def _table(found: Record) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(page.headings(found)):
        drawn.add_column(heading, justify="right" if place else "left")
    for row in found.rows:
        drawn.add_row(*(escape(text) for text in page.cells_of(found, row)))
    return drawn


def _console() -> Console:
    """Where the output is no terminal, a table broken to 80 columns would serve nobody."""
    return Console(width=None if sys.stdout.isatty() else 160)
