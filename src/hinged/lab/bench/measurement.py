"""Measures the cases of a benchmark: time in interleaved rounds, then memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from hinged import kernels
from hinged.kernels.select_kernel import AUTO
from hinged.lab.bench import timing
from hinged.lab.bench.correctness import WrongResultError
from hinged.lab.bench.machine_load import OtherProcessesMeter, load_average
from hinged.lab.bench.record import BenchmarkRecord, Case, Row, build_benchmark_record
from hinged.lab.training.stopwatch import Stopwatch

FORWARD, BACKWARD, FORWARD_BACKWARD = "forward", "backward", "forward + backward"
ShowProgress = Callable[[str], None]
"""A function that is called with one line of text after each case."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """The settings of a benchmark.

    A benchmark consists of cases. A case compares several activations on the same inputs or in the
    same network.

    Attributes:
        rounds: the number of rounds of every case. Each round times every activation once.
        limit: the time limit of a case in seconds. After this time no further round starts, except
            that every case has at least five rounds.
        threads: the number of threads that torch uses.
        device: the device that runs the activations, "cpu" or "cuda".
        quick: whether to use small inputs and at most three rounds, to test that everything runs.
    """

    rounds: int = 25
    limit: float = 40.0
    threads: int = 1
    device: str = "cpu"
    quick: bool = False

    @property
    def shortest(self) -> float:
        """The shortest duration of one measurement in seconds. Shorter calls are repeated."""
        return 1e-4 if self.quick else 2e-3

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.startswith("cuda")

    def reduced_if_quick(self) -> BenchmarkOptions:
        """Return these options. If `quick` is True, `rounds` is at most 3 and `limit` is 0."""
        return replace(self, rounds=min(self.rounds, 3), limit=0.0) if self.quick else self


@dataclass
class PreparedRow:
    """A row of the record (one activation in one case), with the functions that are measured.

    Attributes:
        row: the row of the record. The measurements are stored in it.
        calls: the function to time for each quantity, for example the forward pass. Empty if the
            activation failed.
        kernel: the name of a kernel of `hinged.kernels.use_kernel`. It runs the curves.
        saved_bytes: a function that returns the number of bytes saved for the backward pass. It is
            called after the timing. None means that this memory is not measured.
        peak_bytes: a function that returns the peak memory in bytes. It is called after the timing.
            None means that the peak memory is not measured.
    """

    row: Row
    calls: dict[str, timing.Call] = field(default_factory=dict)
    kernel: str = AUTO
    saved_bytes: Callable[[], int] | None = None
    peak_bytes: Callable[[], int] | None = None


def prepare_row(row: Row, prepare: Callable[[Row], PreparedRow]) -> PreparedRow:
    """Return `prepare(row)`, or a row that is not timed if `prepare` raises an exception.

    The text of the exception is then stored in `row.problem`, and the other activations are still
    measured. Code of other packages may raise any exception.
    """
    try:
        return prepare(row)
    except Exception as error:
        row.problem = _problem_text(error)
        return PreparedRow(row)


def measure_case(case: Case, prepared: list[PreparedRow], options: BenchmarkOptions) -> Case:
    """Measure time and memory of all activations of a case.

    A case compares several activations on the same inputs or in the same network. Quantities, for
    example the forward pass, are timed one after the other. Each round times every activation once.
    Memory is measured afterwards.

    Args:
        case: the case, without measurements.
        prepared: the functions to measure, one `PreparedRow` for each activation.
        options: rounds, threads, device and other settings of the measurement.

    Returns:
        A copy of the case with the measured rows, in the order of `prepared`.
    """
    options = options.reduced_if_quick()
    kernel_of = {each.row.name: each.kernel for each in prepared}
    for each in prepared:
        _run_once(each)
    meter = OtherProcessesMeter()
    for quantity in case.quantities:
        calls = {each.row.name: each.calls[quantity] for each in prepared if quantity in each.calls}
        seconds = timing.time_interleaved(
            calls,
            options.rounds,
            stopwatch=Stopwatch(options.on_gpu),
            shortest=options.shortest,
            limit=options.limit / len(case.quantities),
            min_rounds=min(options.rounds, 5),
            context=lambda name: kernels.use_kernel(kernel_of[name]),
        )
        for each in prepared:
            if each.row.name in seconds:
                rounded = [float(f"{one:.4g}") for one in seconds[each.row.name]]
                each.row.seconds[quantity] = rounded
    others = meter.busy_cores()
    for each in prepared:
        _measure_memory(each)
    rows = [each.row for each in prepared]
    return case.model_copy(
        update={"rows": rows, "threads": torch.get_num_threads(), "others": others}
    )


def run_benchmark(
    kind: str,
    options: BenchmarkOptions,
    settings: dict[str, Any],
    cases: Callable[[], Iterator[Case]],
    show_progress: ShowProgress,
) -> BenchmarkRecord:
    """Measure all cases of a benchmark and return their record.

    Args:
        kind: the command of `hinged bench`, for example "kernels".
        options: rounds, threads, device and other settings of the measurement.
        settings: additional settings for the record, by name.
        cases: a function that returns an iterator. Each step of the iterator measures one case.
        show_progress: a function that is called with one line of text after each case.
    """
    load_before = load_average()
    measured: list[Case] = []
    with limit_threads(options.threads):
        for case in cases():
            measured.append(case)
            problems = len(case.rows) - len(case.timed_rows)
            note = f", {problems} not timed" if problems else ""
            show_progress(f"{case.name}: {len(case.rows)} rows{note}")
        settings = {**asdict(options), **settings}
        return build_benchmark_record(kind, settings, measured, load_before)


@contextlib.contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Set the number of threads of torch inside a `with` block, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def name_and_version(package: str) -> str:
    """Return the name and version of a package, or only the name if it is not installed."""
    if not package:
        return ""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _run_once(prepared: PreparedRow) -> None:
    """Run every function of a row once.

    If a function raises an exception, its text is stored in the row, and the row is not timed.
    """
    try:
        with kernels.use_kernel(prepared.kernel):
            for call in prepared.calls.values():
                call()
    except Exception as error:
        prepared.row.problem = _problem_text(error)
        prepared.calls.clear()


def _measure_memory(prepared: PreparedRow) -> None:
    if prepared.row.problem is not None:
        return
    with kernels.use_kernel(prepared.kernel):
        if prepared.saved_bytes is not None:
            prepared.row.kept_bytes = prepared.saved_bytes()
        if prepared.peak_bytes is not None:
            prepared.row.peak_bytes = prepared.peak_bytes()


def _problem_text(error: Exception) -> str:
    """Return a description of an exception in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {text}"
    kind = "wrong result" if isinstance(error, WrongResultError) else type(error).__name__
    return f"{kind}: {text}"[:200]
