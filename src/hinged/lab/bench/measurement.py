"""From contestants to a measured case: check, time in interleaved rounds, count memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from hinged.lab.bench import timing
from hinged.lab.bench.kernel import AUTO, using
from hinged.lab.bench.machine import OthersMeter, load
from hinged.lab.bench.record import Case, Record, Row, finished

FORWARD, BACKWARD, BOTH = "forward", "backward", "forward + backward"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes:
        rounds: rounds of every case.
        limit: seconds after which a case begins no further round, once it has five.
        threads: threads that torch uses.
        device: "cpu" or "cuda".
        quick: small sizes and few rounds, to see that everything runs.
    """

    rounds: int = 25
    limit: float = 40.0
    threads: int = 1
    device: str = "cpu"
    quick: bool = False

    @property
    def shortest(self) -> float:
        """Seconds that one measurement lasts at least."""
        return 1e-4 if self.quick else 2e-3

    def hurried(self) -> Options:
        """Return the same, for a quick look where one is asked for."""
        return replace(self, rounds=min(self.rounds, 3), limit=0.0) if self.quick else self


@dataclass
class Entrant:
    """One row that is about to be measured.

    Attributes:
        row: what will be recorded.
        calls: what to time, by quantity; empty where there is a problem.
        kernel: which of our kernels runs.
        kept, peak: give the bytes, and are called after the timing.
    """

    row: Row
    calls: dict[str, timing.Call] = field(default_factory=dict)
    kernel: str = AUTO
    kept: Callable[[], int] | None = None
    peak: Callable[[], int] | None = None


def prepared(row: Row, make: Callable[[Row], Entrant]) -> Entrant:
    """Return what `make` makes of a row; whatever goes wrong in it becomes the row's problem, as
    other people's code may fail in any way and the rest is still to be measured."""
    try:
        return make(row)
    except Exception as error:
        row.problem = _reason(error)
        return Entrant(row)


def measure(case: Case, entrants: list[Entrant], options: Options) -> Case:
    """Time all entrants in the same rounds, one quantity after the other, then count memory.

    Returns:
        The case with its rows, in the order of the entrants.
    """
    options = options.hurried()
    watch = timing.stopwatch(options.device)
    kernels = {entrant.row.name: entrant.kernel for entrant in entrants}
    for entrant in entrants:
        _rehearse(entrant)
    meter = OthersMeter()
    for quantity in case.quantities:
        calls = {e.row.name: e.calls[quantity] for e in entrants if quantity in e.calls}
        seconds = timing.interleave(
            calls,
            options.rounds,
            watch=watch,
            shortest=options.shortest,
            limit=options.limit / len(case.quantities),
            least=min(options.rounds, 5),
            around=lambda name: using(kernels[name]),
        )
        for entrant in entrants:
            if entrant.row.name in seconds:
                rounded = [float(f"{one:.4g}") for one in seconds[entrant.row.name]]
                entrant.row.seconds[quantity] = rounded
    others = meter.cores()
    for entrant in entrants:
        _count_memory(entrant)
    rows = [entrant.row for entrant in entrants]
    return case.model_copy(
        update={"rows": rows, "threads": torch.get_num_threads(), "others": others}
    )


def record(
    kind: str, options: Options, more: dict[str, Any], cases: Callable[[], Iterator[Case]], say: Say
) -> Record:
    """Run the cases with the threads asked for and return their record."""
    before = load()
    done: list[Case] = []
    with using_threads(options.threads):
        for case in cases():
            done.append(case)
            problems = sum(row.problem is not None for row in case.rows)
            note = f", {problems} not timed" if problems else ""
            say(f"{case.name}: {len(case.rows)} rows{note}")
        return finished(kind, {**asdict(options), **more}, done, before)


@contextlib.contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def installed(package: str) -> str:
    """Return a distribution's name and version, the name alone where it is not installed."""
    if not package:
        return ""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _rehearse(entrant: Entrant) -> None:
    """Do everything once, so that what fails only when it runs is known before the rounds."""
    try:
        with using(entrant.kernel):
            for call in entrant.calls.values():
                call()
    except Exception as error:
        entrant.row.problem = _reason(error)
        entrant.calls.clear()


def _count_memory(entrant: Entrant) -> None:
    if entrant.row.problem is not None:
        return
    with using(entrant.kernel):
        if entrant.kept is not None:
            entrant.row.kept_bytes = entrant.kept()
        if entrant.peak is not None:
            entrant.row.peak_bytes = entrant.peak()


def _reason(error: Exception) -> str:
    """Return one line that says what went wrong."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: {text}"
    kind = type(error).__name__
    return f"{'refused' if kind == 'Refused' else kind}: {text}"[:200]
