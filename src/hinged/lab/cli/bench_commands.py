"""The command `hinged bench`: time and memory of activations on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from hinged import errors
from hinged.kernels import use_kernel
from hinged.kernels.select_kernel import AUTO
from hinged.lab.bench.measurement import BenchmarkOptions, ShowProgress
from hinged.lab.bench.peers import load_peers
from hinged.lab.bench.record import BenchmarkRecord
from hinged.lab.bench.suites.compiled_block import benchmark_compiled_block
from hinged.lab.bench.suites.scaling import benchmark_scaling
from hinged.lab.bench.suites.single_activations import benchmark_single_activations
from hinged.lab.bench.suites.whole_networks import DEFAULT_ACTIVATIONS, benchmark_whole_networks
from hinged.lab.bench.tables import record_tables, to_rich_table
from hinged.lab.cli.console import wide_console
from hinged.lab.cli.options import AsJson, split_names
from hinged.lab.networks.activations import ACTIVATIONS

app = typer.Typer(
    help="Measure the cost of curves on this machine, compared with ReLU, PReLU, GELU and SiLU.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_DEFAULT = ",".join(DEFAULT_ACTIVATIONS)
_Rounds = Annotated[
    int, typer.Option(min=1, help="Number of rounds; each round times every activation once.")
]
_Limit = Annotated[
    float,
    typer.Option(
        min=0, help="Time limit in seconds for each comparison; at least 5 rounds always run."
    ),
]
_Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Number of torch threads; default: the number that torch chooses."),
]
_Device = Annotated[str, typer.Option(help="Device: cpu or cuda.")]
_Quick = Annotated[
    bool,
    typer.Option(
        "--quick", help="Use small inputs and at most 3 rounds, to test that everything runs."
    ),
]
_Out = Annotated[Path | None, typer.Option(help="JSON file to which the measurements are written.")]
_Activations = Annotated[
    str,
    typer.Option(
        help="Comma-separated list of activations. All are compared with the first. Choose from: "
        + ", ".join(ACTIVATIONS)
    ),
]
_Hinges = Annotated[int, typer.Option(min=3, help="Number of hinges of each curve.")]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure the cost of curves. Without a subcommand, one table is made in half a minute."""
    if context.invoked_subcommand is None:
        options = _options(rounds=10, limit=20.0, threads=None, device="cpu", quick=False)
        _run(
            lambda progress: benchmark_single_activations(options, progress, cases=["maps"]),
            None,
            False,
        )
        print("For all input sizes, run: hinged bench kernels. For more, run: hinged bench --help")


@app.command()
def kernels(
    peers: Annotated[
        Path | None,
        typer.Option(help="Python file with a list PEERS of activations of other packages."),
    ] = None,
    kernels: Annotated[
        str,
        typer.Option(
            help="Comma-separated list of kernels. The first runs in all cases. An additional case "
            "compares them if there are several."
        ),
    ] = AUTO,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Name of a case to measure; may be repeated. Default: all."),
    ] = None,
    rounds: _Rounds = 25,
    limit: _Limit = 40.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Check single activations for correctness, and measure their time and memory."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    names = _names("--kernels", kernels)
    for name in names:
        with use_kernel(name):  # Fails before the measurement if there is no such kernel.
            pass
    activations = load_peers(peers) if peers is not None else []
    _run(
        lambda progress: benchmark_single_activations(
            options, progress, peers=activations, kernels=names, cases=case or ()
        ),
        out,
        as_json,
    )


@app.command()
def models(
    activations: _Activations = _DEFAULT,
    hinges: _Hinges = 9,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name of a network to measure; may be repeated. Default: all."),
    ] = None,
    rounds: _Rounds = 15,
    limit: _Limit = 60.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure training step, inference and memory of networks with different activations."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    names = _names("--activations", activations)
    _run(
        lambda progress: benchmark_whole_networks(
            options, progress, activations=names, hinges=hinges, networks=model or ()
        ),
        out,
        as_json,
    )


@app.command()
def compiled(
    activations: _Activations = _DEFAULT,
    hinges: _Hinges = 9,
    backend: Annotated[str, typer.Option(help="Backend of torch.compile.")] = "inductor",
    rounds: _Rounds = 25,
    limit: _Limit = 60.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure convolution, batch normalisation and activation, with and without torch.compile."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    names = _names("--activations", activations)
    _run(
        lambda progress: benchmark_compiled_block(
            options, progress, activations=names, hinges=hinges, backend=backend
        ),
        out,
        as_json,
    )


@app.command()
def growth(
    rounds: _Rounds = 15,
    limit: _Limit = 45.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure how the cost grows with the number of hinges, channels, samples and threads."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    _run(lambda progress: benchmark_scaling(options, progress), out, as_json)


def _options(
    *, rounds: int, limit: float, threads: int | None, device: str, quick: bool
) -> BenchmarkOptions:
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise errors.unknown_name("--device", device, ("cpu", "cuda"))
    if device.startswith("cuda") and not torch.cuda.is_available():
        hint = "torch finds no CUDA GPU on this machine, so use cpu"
        raise errors.ArgumentError(errors.message("--device", device, hint))
    return BenchmarkOptions(rounds, limit, threads or torch.get_num_threads(), device, quick)


def _names(option: str, text: str) -> tuple[str, ...]:
    names = split_names(text)
    if not names:
        hint = "expected at least one name; separate several names by commas"
        raise errors.ArgumentError(errors.message(option, repr(text), hint))
    return names


def _run(
    measure: Callable[[ShowProgress], BenchmarkRecord], out: Path | None, as_json: bool
) -> None:
    """Measure, save the record, and print it.

    Args:
        measure: a function that takes a function for progress messages and returns a record.
        out: the JSON file for the record. None means that no file is written.
        as_json: whether to print the record as JSON instead of tables.
    """
    progress = Console(stderr=True)
    record = measure(lambda text: progress.print(f"[dim]{text}[/]", highlight=False))
    if out is not None:
        record.save(out)
    if as_json:
        print(record.to_json(), end="")
    else:
        _print_tables(record)


def _print_tables(record: BenchmarkRecord) -> None:
    console = wide_console()
    for table in record_tables(record):
        console.print(to_rich_table(table))
        for name, problem in table.problems:
            console.print(f"{name} was not timed: {problem}", highlight=False, markup=False)
    facts = record.environment
    console.print(
        f"torch {facts['torch']} on {facts['processor']}, {facts['cores']} cores; load "
        f"{record.load[0]} before, {record.load[1]} after. Kernel: {facts['kernel']}.",
        highlight=False,
        markup=False,
    )
