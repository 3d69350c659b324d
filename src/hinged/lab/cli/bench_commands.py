"""Implements `hinged bench`: time and memory of activations on this machine.

The help texts in `hinged.cli.commands.bench` explain the arguments of the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

from hinged import errors
from hinged.kernels import use_kernel
from hinged.lab._write_file import possible_path
from hinged.lab.bench.measurement import BenchmarkOptions, ShowProgress
from hinged.lab.bench.peers import load_peers
from hinged.lab.bench.record import BenchmarkRecord
from hinged.lab.bench.suites.compiled_block import benchmark_compiled_block
from hinged.lab.bench.suites.scaling import benchmark_scaling
from hinged.lab.bench.suites.single_activations import benchmark_single_activations
from hinged.lab.bench.suites.whole_networks import benchmark_whole_networks
from hinged.lab.bench.tables import record_tables, to_fitted_table
from hinged.lab.cli.console import print_table, wide_console
from hinged.lab.experiment.settings import split_names


def maps() -> None:
    """Measure single activations on one input size, in about half a minute."""
    options = _options(rounds=10, limit=20.0, threads=None, device="cpu", quick=False)
    _run(
        lambda progress: benchmark_single_activations(options, progress, cases=["maps"]),
        None,
        False,
    )
    print("For all input sizes, run: hinged bench kernels. For more, run: hinged bench --help")


def kernels(
    peers: Path | None,
    kernels: str,
    case: list[str] | None,
    rounds: int,
    limit: float,
    threads: int | None,
    device: str,
    quick: bool,
    out: Path | None,
    as_json: bool,
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


def models(
    activations: str,
    hinges: int,
    model: list[str] | None,
    rounds: int,
    limit: float,
    threads: int | None,
    device: str,
    quick: bool,
    out: Path | None,
    as_json: bool,
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


def compiled(
    activations: str,
    hinges: int,
    backend: str,
    rounds: int,
    limit: float,
    threads: int | None,
    device: str,
    quick: bool,
    out: Path | None,
    as_json: bool,
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


def growth(
    rounds: int,
    limit: float,
    threads: int | None,
    device: str,
    quick: bool,
    out: Path | None,
    as_json: bool,
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
    if out is not None:
        possible_path(out)
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
        print_table(console, to_fitted_table(table))
        for name, problem in table.problems:
            console.print(f"{name} was not timed: {problem}", highlight=False, markup=False)
    facts = record.environment
    console.print(
        f"torch {facts['torch']} on {facts['processor']}, {facts['cores']} cores; load "
        f"{record.load[0]} before, {record.load[1]} after. Kernel: {facts['kernel']}.",
        highlight=False,
        markup=False,
    )
