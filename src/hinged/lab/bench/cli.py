"""The commands of `hinged bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from hinged import errors
from hinged.lab.bench import tables
from hinged.lab.bench.kernel import AUTO, using
from hinged.lab.bench.measurement import Options, Say
from hinged.lab.bench.peers import load_peers
from hinged.lab.bench.record import Record
from hinged.lab.bench.suites import compiled as compiled_bench
from hinged.lab.bench.suites import growth as growth_bench
from hinged.lab.bench.suites import kernels as kernels_bench
from hinged.lab.bench.suites import models as models_bench
from hinged.lab.networks.activations import ACTIVATIONS

app = typer.Typer(
    help="What the curves cost on this machine, beside ReLU, PReLU, GELU and SiLU.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_DEFAULT = ",".join(models_bench.DEFAULT)
_Rounds = Annotated[int, typer.Option(min=1, help="Rounds; each times every contestant once.")]
_Limit = Annotated[
    float, typer.Option(min=0, help="Seconds after which a case begins no further round.")
]
_Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of torch; default: torch's own choice.")
]
_Device = Annotated[str, typer.Option(help="cpu or cuda.")]
_Quick = Annotated[bool, typer.Option("--quick", help="Small sizes: see that everything runs.")]
_Out = Annotated[Path | None, typer.Option(help="Write the record to this JSON file.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the record, no tables.")]
_Activations = Annotated[
    str, typer.Option(help="Comma-separated, the baseline first, of: " + ", ".join(ACTIVATIONS))
]
_Hinges = Annotated[int, typer.Option(min=3, help="Hinges of each curve.")]


@app.callback(invoke_without_command=True)
def short(context: typer.Context) -> None:
    """What the curves cost on this machine. Without a command: one table, in half a minute."""
    if context.invoked_subcommand is None:
        options = _options(rounds=10, limit=20.0, threads=None, device="cpu", quick=False)
        _run(lambda say: kernels_bench.run(options, say, cases=["maps"]), None, False)
        print("All sizes and layouts: hinged bench kernels. More: hinged bench --help")


@app.command()
def kernels(
    peers: Annotated[
        Path | None, typer.Option(help="A Python file with a list PEERS of contestants.")
    ] = None,
    kernels: Annotated[
        str, typer.Option(help="Comma-separated; several are compared in a case of their own.")
    ] = AUTO,
    case: Annotated[
        list[str] | None, typer.Option(help="Only this case; may be given again.")
    ] = None,
    rounds: _Rounds = 25,
    limit: _Limit = 40.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: _AsJson = False,
) -> None:
    """The activations alone: forward, forward and backward, memory; checked before timed."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    names = _names(kernels)
    for name in names:
        with using(name):
            pass
    contestants = load_peers(peers) if peers is not None else []
    _run(
        lambda say: kernels_bench.run(
            options, say, peers=contestants, kernels=names, cases=case or ()
        ),
        out,
        as_json,
    )


@app.command()
def models(
    activations: _Activations = _DEFAULT,
    hinges: _Hinges = 9,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this network; may be given again.")
    ] = None,
    rounds: _Rounds = 15,
    limit: _Limit = 60.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: _AsJson = False,
) -> None:
    """Whole networks, every activation replaced: training step, inference, memory for backward."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    _run(
        lambda say: models_bench.run(
            options, say, activations=_names(activations), hinges=hinges, names=model or ()
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
    as_json: _AsJson = False,
) -> None:
    """Convolution, batch normalisation and activation under torch.compile, and without."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    _run(
        lambda say: compiled_bench.run(
            options, say, activations=_names(activations), hinges=hinges, backend=backend
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
    as_json: _AsJson = False,
) -> None:
    """How the cost grows with hinges, channels, batch and threads."""
    options = _options(rounds=rounds, limit=limit, threads=threads, device=device, quick=quick)
    _run(lambda say: growth_bench.run(options, say), out, as_json)


def _options(
    *, rounds: int, limit: float, threads: int | None, device: str, quick: bool
) -> Options:
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise errors.unknown_name("--device", device, ("cpu", "cuda"))
    if device.startswith("cuda") and not torch.cuda.is_available():
        hint = "expected a device that this torch can use: cpu"
        raise errors.ArgumentError(errors.message("--device", device, hint))
    return Options(rounds, limit, threads or torch.get_num_threads(), device, quick)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        hint = "expected one or more names"
        raise errors.ArgumentError(errors.message("hinged bench", repr(text), hint))
    return names


def _run(measured: Callable[[Say], Record], out: Path | None, as_json: bool) -> None:
    """Measure, telling on standard error what is done, then write and show the record."""
    progress = Console(stderr=True)
    record = measured(lambda text: progress.print(f"[dim]{text}[/]", highlight=False))
    if out is not None:
        record.save(out)
    if as_json:
        print(record.text(), end="")
    else:
        _show(record)


def _show(record: Record) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    for sheet in tables.sheets(record):
        console.print(tables.as_rich(sheet))
        for name, problem in sheet.problems:
            console.print(f"{name} was not timed: {problem}", highlight=False, markup=False)
    facts = record.environment
    console.print(
        f"torch {facts['torch']} on {facts['processor']}, {facts['cores']} cores; load "
        f"{record.load[0]} before, {record.load[1]} after. Kernel: {facts['kernel']}.",
        highlight=False,
        markup=False,
    )
