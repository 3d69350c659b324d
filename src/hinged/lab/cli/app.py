"""The commands; those of `bench` and `study` have files of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hinged import errors
from hinged.lab.cli import bench_commands, study_commands
from hinged.lab.cli.convert_check import check_conversion
from hinged.lab.data import AUGMENTATIONS, DATA_SETS
from hinged.lab.experiment import environment
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.catalogue import NETWORK_KINDS
from hinged.lab.reporting import report, terminal
from hinged.lab.reporting.comparison_table import diverged, verdict
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import ProgressListener, join_training
from hinged.lab.runs.compare import compare as run_comparison
from hinged.lab.runs.pending_trial import SaveOptions
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.training import loggers

app = typer.Typer(
    help="Trainable piecewise-linear activations: is it worth it on your task?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(bench_commands.app, name="bench")
app.add_typer(study_commands.app, name="study")

_OWN = "frozen:silu, curves that stay what they start as; my.py:make or package.module:Class"
_DEFAULT = Experiment()
_NETWORK, _CURVES, _TRAINING = NetworkSettings(), CurveSettings(), TrainingSettings()


Data = Annotated[
    str,
    typer.Option(
        help="A folder of images (with :64 behind it, scaled to 64 x 64), a table.csv or .parquet "
        "(with :column behind it, that to predict), my.py:make_loaders, or one of: "
        + ", ".join(DATA_SETS)
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of data sets; default: $HINGED_DATA, else downloads.")
]
TrainSize = Annotated[
    int | None, typer.Option(min=1, help="Only so many training samples, the same for every seed.")
]
TestSize = Annotated[int | None, typer.Option(min=1, help="Only so many test samples.")]
Augment = Annotated[
    str,
    typer.Option(help="Random changes of the images, comma-separated: " + ", ".join(AUGMENTATIONS)),
]
Model = Annotated[
    str, typer.Option(help="my.py:make_net, timm:NAME, or one of: " + ", ".join(NETWORK_KINDS))
]
Pretrained = Annotated[
    str | None, typer.Option(help="Weights to start from: imagenet, a file, or a run folder.")
]
ImageSize = Annotated[int | None, typer.Option(help="Side that images are resized to.")]
Trains = Annotated[
    str, typer.Option(help="everything, or head with +norm, +curves or +curves+norm behind it.")
]
Width = Annotated[int, typer.Option(help="Filters of the first block, or hidden units.")]
Depth = Annotated[int, typer.Option(help="VGG blocks, or hidden layers.")]
BatchNorm = Annotated[bool, typer.Option(help="Normalise before every activation.")]
Hinges = Annotated[int, typer.Option(help="Hinges of each curve.")]
Range = Annotated[tuple[float, float], typer.Option("--range", help="First and last hinge.")]
Init = Annotated[
    str, typer.Option(help="Function the curves start as; same for what a whole network applies.")
]
Tails = Annotated[str, typer.Option(help="linear, constant or free.")]
Sharing = Annotated[str, typer.Option(help="One curve per: channel, layer.")]
Epochs = Annotated[int, typer.Option(help="Passes over the training data.")]
BatchSize = Annotated[int, typer.Option(help="Samples a step.")]
Lr = Annotated[float, typer.Option(help="Largest learning rate of the one-cycle schedule.")]
CurveLrFactor = Annotated[
    float, typer.Option(help="Learning rate of trained activations over --lr.")
]
WeightDecay = Annotated[float, typer.Option(help="Weight decay; curves are never decayed.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting, as in training.calibrate_after=0.1; may be given several times.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Trials done at once; default: one for each core.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each trial.")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Do the trials on a Ray cluster: its address, or local to start one here.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Run folder; the same command continues it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, nothing else.")]


@app.command()
def compare(
    data: Data = _DEFAULT.data,
    data_dir: DataDir = None,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    augment: Augment = "",
    model: Model = _NETWORK.kind,
    pretrained: Pretrained = _NETWORK.pretrained,
    image_size: ImageSize = _NETWORK.image_size,
    activations: Annotated[
        str, typer.Option(help=f"Comma-separated, of: {', '.join(ACTIVATIONS)}; {_OWN}")
    ] = ",".join(_DEFAULT.activations),
    baseline: Annotated[
        str, typer.Option(help="What the others are compared with.")
    ] = _DEFAULT.baseline,
    seeds: Annotated[int, typer.Option(help="How many seeds, from --first-seed on.")] = len(
        _DEFAULT.seeds
    ),
    first_seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    width: Width = _NETWORK.width,
    depth: Depth = _NETWORK.depth,
    batch_norm: BatchNorm = _NETWORK.batch_norm,
    hinges: Hinges = _CURVES.hinges,
    ends: Range = (_CURVES.low, _CURVES.high),
    init: Init = _CURVES.init,
    tails: Tails = _CURVES.tails,
    sharing: Sharing = _CURVES.sharing,
    trains: Trains = _TRAINING.trains,
    epochs: Epochs = _TRAINING.epochs,
    batch_size: BatchSize = _TRAINING.batch_size,
    lr: Lr = _TRAINING.lr,
    curve_lr_factor: CurveLrFactor = _TRAINING.curve_lr_factor,
    weight_decay: WeightDecay = _TRAINING.weight_decay,
    more: Set = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    ray: Ray = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train the same network with several activations; say which is better, and how surely.

    Stopped at any moment, the same command goes on where it was; more seeds or activations
    extend the run.
    """
    if seeds < 2:
        hint = "a comparison needs at least 2, and 5 or more to be worth reading"
        raise errors.ArgumentError(errors.message("--seeds", str(seeds), hint))
    settings = build_experiment(
        more or (),
        data=data,
        train_size=train_size,
        test_size=test_size,
        network=_network(model, pretrained, image_size, width, depth, batch_norm),
        curves=_curves(hinges, ends, init, tails, sharing),
        training=_training(trains, epochs, batch_size, lr, curve_lr_factor, weight_decay, augment),
        activations=_names(activations),
        seeds=tuple(range(first_seed, first_seed + seeds)),
        baseline=baseline,
    )
    folder = out or _folder(data, model)
    places = execution_options(ray, jobs, threads)
    _run(settings, folder, as_json, data_dir, **places)


@app.command()
def train(
    data: Data = _DEFAULT.data,
    data_dir: DataDir = None,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    augment: Augment = "",
    model: Model = _NETWORK.kind,
    pretrained: Pretrained = _NETWORK.pretrained,
    image_size: ImageSize = _NETWORK.image_size,
    activation: Annotated[
        str, typer.Option(help=f"One of: {', '.join(ACTIVATIONS)}; {_OWN}")
    ] = "hinged",
    seed: Annotated[int, typer.Option(min=0, help="Gives initial weights and order of data.")] = 0,
    width: Width = _NETWORK.width,
    depth: Depth = _NETWORK.depth,
    batch_norm: BatchNorm = _NETWORK.batch_norm,
    hinges: Hinges = _CURVES.hinges,
    ends: Range = (_CURVES.low, _CURVES.high),
    init: Init = _CURVES.init,
    tails: Tails = _CURVES.tails,
    sharing: Sharing = _CURVES.sharing,
    trains: Trains = _TRAINING.trains,
    epochs: Epochs = _TRAINING.epochs,
    batch_size: BatchSize = _TRAINING.batch_size,
    lr: Lr = _TRAINING.lr,
    curve_lr_factor: CurveLrFactor = _TRAINING.curve_lr_factor,
    weight_decay: WeightDecay = _TRAINING.weight_decay,
    more: Set = None,
    threads: Threads = 1,
    logger: Annotated[
        str,
        typer.Option(
            help="Log epochs into the run folder by one of: " + ", ".join(loggers.LOGGERS)
        ),
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train one network, with a checkpoint an epoch; the same command resumes it.

    The trained network is kept, and --pretrained starts another one from it. On several GPUs or
    machines: torchrun --nproc-per-node 4 -m hinged train ...
    """
    settings = build_experiment(
        more or (),
        data=data,
        train_size=train_size,
        test_size=test_size,
        network=_network(model, pretrained, image_size, width, depth, batch_norm),
        curves=_curves(hinges, ends, init, tails, sharing),
        training=_training(trains, epochs, batch_size, lr, curve_lr_factor, weight_decay, augment),
        activations=(activation,),
        seeds=(seed,),
        baseline=activation,
    )
    folder = out or _folder(data, model, activation, f"seed{seed}")
    if logger:
        loggers.check_logger(logger, settings.training.optimizer)
    save = SaveOptions(checkpoints=True, weights=True, logger=logger)
    if torchrun_process().rank:
        join_training(settings, RunFolder(folder), threads=threads, save=save, data_dir=data_dir)
    else:
        _run(settings, folder, as_json, data_dir, threads=threads, save=save)


@app.command(name="report")
def build_report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    as_json: AsJson = False,
) -> None:
    """Draw the table, the pictures and the page of finished runs anew."""
    for run in runs:
        _show(RunFolder(run), as_json)


@app.command()
def convert_check(
    network: Annotated[
        str,
        typer.Argument(
            help="my.py:make_net, a function without arguments that returns a model, or "
            "(model, batch).",
            metavar="FILE.py:FUNCTION",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(help="Sizes of one sample, as in 3,32,32, where no batch is returned."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what hinged.convert would do to your own model: what it makes trainable, what not, why.

    Nothing is changed or written.
    """
    found = check_conversion(network, input_shape)
    print(json.dumps(found.as_json(), indent=2) if as_json else found)


@app.command()
def info(as_json: AsJson = False) -> None:
    """Show versions, devices, and which kernel is used."""
    facts = environment.describe_environment()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name:<14}{value}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _folder(*parts: object) -> Path:
    """Return the run folder where none is given; paths lose what a name of a folder cannot have."""
    return Path("runs") / as_file_name("-".join(map(str, parts)))


def _network(
    kind: str,
    pretrained: str | None,
    image_size: int | None,
    width: int,
    depth: int,
    batch_norm: bool,
) -> dict[str, object]:
    return {
        "kind": kind,
        "pretrained": pretrained,
        "image_size": image_size,
        "width": width,
        "depth": depth,
        "batch_norm": batch_norm,
    }


def _curves(
    hinges: int, ends: tuple[float, float], init: str, tails: str, sharing: str
) -> dict[str, object]:
    low, high = ends
    return {
        "hinges": hinges, "low": low, "high": high, "init": init, "tails": tails, "sharing": sharing
    }  # fmt: skip


def _training(
    trains: str,
    epochs: int,
    batch_size: int,
    lr: float,
    curve_lr_factor: float,
    weight_decay: float,
    augment: str,
) -> dict[str, object]:
    return {
        "trains": trains,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "curve_lr_factor": curve_lr_factor,
        "weight_decay": weight_decay,
        "augment": _names(augment),
    }


def _run(
    settings: Experiment, out: Path, as_json: bool, data_dir: Path | None, **options: Any
) -> None:
    folder = RunFolder(out)
    options["data_dir"] = data_dir
    try:
        if as_json:
            run_comparison(settings, folder, ProgressListener(), **options)
        else:
            with terminal.TerminalProgress(Console()) as listener:
                run_comparison(settings, folder, listener, **options)
    except (KeyboardInterrupt, SystemExit):  # Lightning makes the latter of SIGINT and SIGTERM.
        print("hinged: stopped; the same command continues.", file=sys.stderr)
        raise typer.Exit(130) from None
    _show(folder, as_json)


def _show(folder: RunFolder, as_json: bool) -> None:
    summary = report.build(folder)
    page = folder.path / "report.html"
    if as_json:
        print(json.dumps({"run": str(folder.path), **summary.as_json()}, indent=2))
        return
    # Where the output is no terminal, a table broken to 80 columns would serve nobody.
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(terminal.table(summary))
    if any(row.activation == "hinged" and row.versus is not None for row in summary.rows):
        console.print(verdict(summary), highlight=False)
    if said := diverged(summary):
        console.print(said, highlight=False)
    console.print(f"Page: {page}", highlight=False, soft_wrap=True)
