"""Measures one case: prepares each row, times all rows in interleaved rounds, measures memory."""

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
"""Receives one line of text after each case."""


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Attributes:
        rounds: the number of rounds of every case.
        limit: seconds after which a case starts no further round, once it has five.
        threads: the number of threads that torch uses.
        device: "cpu" or "cuda".
        quick: use small sizes and few rounds, to test that everything runs.
    """

    rounds: int = 25
    limit: float = 40.0
    threads: int = 1
    device: str = "cpu"
    quick: bool = False

    @property
    def shortest(self) -> float:
        """The least number of seconds that one measurement takes."""
        return 1e-4 if self.quick else 2e-3

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.startswith("cuda")

    def reduced_if_quick(self) -> BenchmarkOptions:
        """Return these options, with at most three rounds and no time limit if `quick` is set."""
        return replace(self, rounds=min(self.rounds, 3), limit=0.0) if self.quick else self


@dataclass
class PreparedRow:
    """One row with everything that is needed to measure it.

    Attributes:
        row: the row of the record, without measurements.
        calls: what to time, by quantity; empty if the row has a problem.
        kernel: the kernel of `hinged.kernels.use_kernel` that runs.
        saved_bytes, peak_bytes: functions that measure memory; they are called after the timing.
    """

    row: Row
    calls: dict[str, timing.Call] = field(default_factory=dict)
    kernel: str = AUTO
    saved_bytes: Callable[[], int] | None = None
    peak_bytes: Callable[[], int] | None = None


def prepare_row(row: Row, prepare: Callable[[Row], PreparedRow]) -> PreparedRow:
    """Return `prepare(row)`. If it raises, the error becomes the row's problem.

    Code of other packages may raise anything, and the remaining rows must still be measured.
    """
    try:
        return prepare(row)
    except Exception as error:
        row.problem = _problem_text(error)
        return PreparedRow(row)


def measure_case(case: Case, prepared: list[PreparedRow], options: BenchmarkOptions) -> Case:
    """Time all rows in the same rounds, one quantity after the other, then measure memory.

    Returns:
        The case with its rows, in the order of `prepared`.
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
    """Measure all cases with the number of threads of `options` and return their record."""
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
    """Set the number of threads that torch uses, and restore it at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def name_and_version(package: str) -> str:
    """Return a distribution's name and version, or only the name if it is not installed."""
    if not package:
        return ""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _run_once(prepared: PreparedRow) -> None:
    """Run every call once, so that a call that raises is excluded before the rounds start."""
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
    """Return one line that describes an error."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {text}"
    kind = "wrong result" if isinstance(error, WrongResultError) else type(error).__name__
    return f"{kind}: {text}"[:200]
