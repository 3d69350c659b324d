"""Implements the commands `hinged compare`, `train` and `report`."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.markup import escape

from hinged import errors
from hinged.lab._write_file import possible_path
from hinged.lab.cli import study_commands
from hinged.lab.cli.console import (
    print_paths,
    print_table,
    resumable,
    show_progress,
    wide_console,
)
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import split_names
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.reporting import terminal
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.reporting.report import write_page
from hinged.lab.reporting.report_data import read_report_data
from hinged.lab.reporting.take_away_files import PAGE_ONLY, Formats, write_run_files
from hinged.lab.reporting.tuning_table import tuning_row
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare as run_comparison
from hinged.lab.runs.compare import join_training
from hinged.lab.runs.pending_trial import ExperimentRun, SaveOptions
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.runs.tuning import check_untuned, tune_all
from hinged.lab.study.study_folder import StudyFolder
from hinged.lab.study.tuning_plan import parse_tune_options, plan_tuning


def compare(
    settings: dict[str, Any],
    activations: str,
    baseline: str,
    seeds: int,
    first_seed: int,
    assignments: list[str] | None,
    tune: list[str] | None,
    data_dir: Path | None,
    jobs: int | None,
    threads: int,
    ray: str | None,
    logger: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run a comparison and print its table.

    The help texts in `hinged.cli.commands.compare` explain the arguments.
    """
    if seeds < 2:
        hint = "a comparison needs at least 2 seeds; 5 or more are recommended"
        raise errors.ArgumentError(errors.message("--seeds", str(seeds), hint))
    experiment = build_experiment(
        assignments or (),
        **settings,
        activations=split_names(activations),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        baseline=baseline,
    )
    run = ExperimentRun(experiment, RunFolder(out or _default_folder(experiment)))
    options = {**execution_options(ray, jobs, threads), "data_dir": data_dir}
    tuning = plan_tuning(parse_tune_options(tune), experiment.activations) if tune else None
    save = SaveOptions(logger=logger)
    with resumable():
        with show_progress(as_json) as listener:
            if tuning is None:
                check_untuned(run.folder)
            else:
                (run,) = tune_all([run], tuning, listener, **options)
            run_comparison(run.experiment, run.folder, listener, save=save, **options)
        _print_report(run.folder, as_json, shown=listener.shown_warnings)


def train(
    settings: dict[str, Any],
    activation: str,
    seed: int,
    assignments: list[str] | None,
    data_dir: Path | None,
    threads: int,
    logger: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train one network and print its score.

    The help texts in `hinged.cli.commands.train` explain the arguments.
    """
    experiment = build_experiment(
        assignments or (), **settings, activations=(activation,), seeds=(seed,), baseline=activation
    )
    folder = RunFolder(out or _default_folder(experiment, activation, f"seed{seed}"))
    save = SaveOptions(checkpoints=True, weights=True, logger=logger)
    options: dict[str, Any] = {"threads": threads, "save": save, "data_dir": data_dir}
    if torchrun_process().rank:
        join_training(experiment, folder, **options)
        return
    with resumable():
        with show_progress(as_json) as listener:
            check_untuned(folder)
            run_comparison(experiment, folder, listener, **options)
        _print_report(folder, as_json, shown=listener.shown_warnings)


def report(
    folders: list[Path],
    csv: bool,
    latex: bool,
    figures: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Write the page of each run or study again, and its results in other formats.

    The help texts in `hinged.cli.commands.report` explain the arguments.
    """
    formats = Formats(csv, latex, figures)
    formats.check()
    if to is not None:
        possible_path(to)
    if to is not None and formats == PAGE_ONLY:
        hint = "give --csv, --latex or --figures too: the page stays in the folder of the run"
        raise errors.ArgumentError(errors.message("--to", "no format", hint))
    for folder, target in zip(folders, _target_folders(folders, to), strict=True):
        if RunFolder(folder).holds_experiment:
            _print_report(RunFolder(folder), as_json, formats, target)
        elif (study := StudyFolder(folder)).holds_study:
            study_commands.print_report(study, as_json, formats=formats, target=target)
        else:
            raise errors.RunFolderError(
                f"{folder} holds neither a run nor a study: config.json and study.json are missing "
                "in it. Give a folder that `hinged compare`, `hinged train` or `hinged study run` "
                "has written."
            )


def _target_folders(folders: list[Path], to: Path | None) -> list[Path]:
    """Return the folder for the files of each run or study.

    Raises:
        ArgumentError: if two folders with the same name would share a folder.
    """
    if to is None or len(folders) == 1:
        return [to or folder for folder in folders]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        got = f"several folders with the name {max(names, key=names.count)}"
        hint = "their files would get the same paths: call `hinged report` once for each"
        raise errors.ArgumentError(errors.message("--to", got, hint))
    return [to / name for name in names]


def _default_folder(experiment: Experiment, *parts: str) -> Path:
    """Return the run folder that is used if `--out` is not given.

    Its name consists of the data set, the network and `parts`, with `-` for special characters.
    """
    name = "-".join((experiment.data, experiment.network.kind, *parts))
    return Path("runs") / as_file_name(name)


def _print_report(
    folder: RunFolder,
    as_json: bool,
    formats: Formats = PAGE_ONLY,
    target: Path | None = None,
    shown: Collection[str] = (),
) -> None:
    """Write the page of a run and the files of the formats, and print the results and the paths.

    Warnings that the user has seen already (`shown`) are not printed again.

    The results are also printed if the page cannot be written, as in a folder that is read-only.
    """
    data, unwritable = read_report_data(folder), ""
    try:
        write_page(folder, data)
    except errors.RunFolderError as error:
        unwritable = f"There is no new page. {error}"
    paths = write_run_files(data, target or folder.path, formats)
    table = data.table
    if as_json:
        files = {"files": [str(path) for path in paths]} if paths else {}
        print(json.dumps({"run": str(folder.path), **data.as_json(), **files}, indent=2))
        return
    console = wide_console()
    new = [each for each in (*table.warnings, unwritable) if each and each not in shown]
    for warning in new:
        console.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    for activation, _, chosen in map(tuning_row, data.tuning):
        console.print(escape(f"Tuned: {activation} with {chosen}"), highlight=False)
    print_table(console, terminal.terminal_table(table))
    if any(row.activation == "hinged" and row.versus is not None for row in table.rows):
        console.print(escape(verdict(table)), highlight=False)
    print_paths(console, None if unwritable else folder.path / "report.html", paths)
