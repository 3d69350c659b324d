"""The commands `hinged compare`, `train`, `report`, `convert-check` and `info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hinged import errors
from hinged.lab.cli import bench_commands, study_commands
from hinged.lab.cli.console import show_progress, wide_console
from hinged.lab.cli.convert_check import check_conversion
from hinged.lab.cli.options import (
    ACTIVATION_NAMES,
    AsJson,
    Assignments,
    DataDir,
    Jobs,
    Out,
    Ray,
    Threads,
    split_names,
    with_setting_options,
)
from hinged.lab.experiment import environment
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.reporting import report, terminal
from hinged.lab.reporting.comparison_table import verdict
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare as run_comparison
from hinged.lab.runs.compare import join_training
from hinged.lab.runs.pending_trial import SaveOptions
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.training import loggers

app = typer.Typer(
    help="Trainable piecewise-linear activations: are they worth it for your task?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(bench_commands.app, name="bench")
app.add_typer(study_commands.app, name="study")

_DEFAULT = Experiment()


@app.command()
@with_setting_options
def compare(
    settings: dict[str, Any],
    activations: Annotated[
        str, typer.Option(help=f"Comma-separated list of activations: {ACTIVATION_NAMES}.")
    ] = ",".join(_DEFAULT.activations),
    baseline: Annotated[
        str, typer.Option(help="Activation with which the others are compared.")
    ] = _DEFAULT.baseline,
    seeds: Annotated[int, typer.Option(help="Number of seeds, starting with --first-seed.")] = len(
        _DEFAULT.seeds
    ),
    first_seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    assignments: Assignments = None,
    data_dir: DataDir = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    ray: Ray = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train one network with several activations and test which activation is better.

    The same command continues an interrupted run. With more seeds or activations, it extends a
    finished run.
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
    folder = RunFolder(out or _default_folder(settings))
    options = execution_options(ray, jobs, threads)
    with show_progress(as_json) as listener:
        run_comparison(experiment, folder, listener, data_dir=data_dir, **options)
    _print_report(folder, as_json)


@app.command()
@with_setting_options
def train(
    settings: dict[str, Any],
    activation: Annotated[
        str, typer.Option(help=f"Activation, one of: {ACTIVATION_NAMES}.")
    ] = "hinged",
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the initial weights and the order of the data.")
    ] = 0,
    assignments: Assignments = None,
    data_dir: DataDir = None,
    threads: Threads = 1,
    logger: Annotated[
        str,
        typer.Option(
            help="Logger that records every epoch in the run folder; one of: "
            + ", ".join(loggers.LOGGERS)
        ),
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train one network and save a checkpoint after each epoch.

    The same command resumes an interrupted training. The weights of the trained network are saved.
    Another training can start from them, with the option --pretrained. To train on several GPUs or
    machines: torchrun --nproc-per-node 4 -m hinged train ...
    """
    experiment = build_experiment(
        assignments or (), **settings, activations=(activation,), seeds=(seed,), baseline=activation
    )
    folder = RunFolder(out or _default_folder(settings, activation, f"seed{seed}"))
    if logger:
        loggers.check_logger(logger, experiment.training.optimizer)
    save = SaveOptions(checkpoints=True, weights=True, logger=logger)
    if torchrun_process().rank:
        join_training(experiment, folder, threads=threads, save=save, data_dir=data_dir)
        return
    with show_progress(as_json) as listener:
        run_comparison(experiment, folder, listener, threads=threads, save=save, data_dir=data_dir)
    _print_report(folder, as_json)


@app.command(name="report")
def build_report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    as_json: AsJson = False,
) -> None:
    """Write the table, the plots and the HTML page again, for each run folder."""
    for run in runs:
        _print_report(RunFolder(run), as_json)


@app.command()
def convert_check(
    network: Annotated[
        str,
        typer.Argument(
            help="Python file and function, for example my.py:make_net. The function takes no "
            "arguments and returns a model, or (model, batch).",
            metavar="FILE.py:FUNCTION",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            help="Shape of one sample, for example 3,32,32, if the function returns no batch."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the activations of your model and say if hinged.convert would replace them.

    If an activation would not be replaced, the reason is shown. The command writes no files.
    """
    found = check_conversion(network, input_shape)
    print(json.dumps(found.as_json(), indent=2) if as_json else found)


@app.command()
def info(as_json: AsJson = False) -> None:
    """Show package versions, devices and the kernel that computes curves."""
    facts = environment.describe_environment()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name:<14}{value}")


def _default_folder(settings: dict[str, Any], *parts: str) -> Path:
    """Return the run folder that is used if `--out` is not given.

    Its name consists of the data set, the network and `parts`, with `-` for special characters.
    """
    name = "-".join((settings["data"], settings["network"]["kind"], *parts))
    return Path("runs") / as_file_name(name)


def _print_report(folder: RunFolder, as_json: bool) -> None:
    table = report.write_report(folder)
    if as_json:
        print(json.dumps({"run": str(folder.path), **table.as_json()}, indent=2))
        return
    console = wide_console()
    for warning in table.warnings:
        console.print(f"[yellow]Warning:[/] {escape(warning)}", highlight=False)
    console.print(terminal.terminal_table(table))
    if any(row.activation == "hinged" and row.versus is not None for row in table.rows):
        console.print(verdict(table), highlight=False)
    console.print(f"Page: {folder.path / 'report.html'}", highlight=False, soft_wrap=True)
