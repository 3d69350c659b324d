"""Implements the commands `hinged compare`, `train` and `report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape

from hinged import errors
from hinged.lab.cli.console import print_table, show_progress, wide_console
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import split_names
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.reporting import terminal
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.reporting.report import write_report
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare as run_comparison
from hinged.lab.runs.compare import join_training
from hinged.lab.runs.pending_trial import SaveOptions
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.run_folder import RunFolder, as_file_name


def compare(
    settings: dict[str, Any],
    activations: str,
    baseline: str,
    seeds: int,
    first_seed: int,
    assignments: list[str] | None,
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
    folder = RunFolder(out or _default_folder(experiment))
    options = execution_options(ray, jobs, threads)
    save = SaveOptions(logger=logger)
    with show_progress(as_json) as listener:
        run_comparison(experiment, folder, listener, save=save, data_dir=data_dir, **options)
    _print_report(folder, as_json)


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
    if torchrun_process().rank:
        join_training(experiment, folder, threads=threads, save=save, data_dir=data_dir)
        return
    with show_progress(as_json) as listener:
        run_comparison(experiment, folder, listener, threads=threads, save=save, data_dir=data_dir)
    _print_report(folder, as_json)


def report(runs: list[Path], as_json: bool) -> None:
    """Write the table, the plots and the HTML page again, for each run folder."""
    for run in runs:
        _print_report(RunFolder(run), as_json)


def _default_folder(experiment: Experiment, *parts: str) -> Path:
    """Return the run folder that is used if `--out` is not given.

    Its name consists of the data set, the network and `parts`, with `-` for special characters.
    """
    name = "-".join((experiment.data, experiment.network.kind, *parts))
    return Path("runs") / as_file_name(name)


def _print_report(folder: RunFolder, as_json: bool) -> None:
    table = write_report(folder)
    if as_json:
        print(json.dumps({"run": str(folder.path), **table.as_json()}, indent=2))
        return
    console = wide_console()
    for warning in table.warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    print_table(console, terminal.terminal_table(table))
    if any(row.activation == "hinged" and row.versus is not None for row in table.rows):
        console.print(verdict(table), highlight=False)
    console.print(f"Page: {folder.path / 'report.html'}", highlight=False, soft_wrap=True)
