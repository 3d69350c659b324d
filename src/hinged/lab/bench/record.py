"""The record of a benchmark: what was timed, on which machine, and the seconds of every round."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pydantic

from hinged import errors
from hinged.lab._write_file import write_file
from hinged.lab.bench.machine_load import load_average
from hinged.lab.bench.timing import Quartiles, quartiles, ratio_quartiles
from hinged.lab.experiment import environment

FORMAT = 1
UNITS = {"seconds": "s a call, one number a round", "bytes": "B", "bandwidth": "B/s, read + write"}
# These decide whether glibc returns the pages of large, short-lived tensors to the system.
_ALLOCATOR_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "LD_PRELOAD",
)


class _StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Row(_StrictModel):
    """One activation in one case.

    Attributes:
        name: the label in tables.
        family: a key of `hinged.lab.bench.timed_activations.FAMILIES`.
        package: name and version of the distribution; empty for the activations of torch.
        parameters: the number of trained parameters.
        problem: the reason why it was not timed, as a sentence; None if it was timed.
        errors: the largest error against float64 divided by the largest value, by quantity.
        seconds: seconds per call, one number for each round, by quantity.
        kept_bytes: bytes saved for the backward pass.
        peak_bytes: the most bytes allocated at once in forward and backward, above the level
            before.
    """

    name: str
    family: str
    package: str = ""
    parameters: int = 0
    problem: str | None = None
    errors: dict[str, float] = {}
    seconds: dict[str, list[float]] = {}
    kept_bytes: int | None = None
    peak_bytes: int | None = None


class Case(_StrictModel):
    """Activations timed in the same rounds.

    Attributes:
        name: the label in tables and plots.
        about: a short description of what is measured.
        baseline: the name of the row that ratios are relative to.
        quantities: what is timed, in the order of the columns.
        place: the case's position on an axis, for example `{"channels": 64}`; empty if it has none.
        elements: the number of input elements of a call; 0 if it has no meaning.
        element_bytes: bytes of one element.
        threads: the number of torch threads.
        bandwidth: bytes per second that a copy of the input reads and writes; None if not measured.
        others: cores that other processes kept busy; None if the system does not report it.
        rows: the activations.
    """

    name: str
    about: str
    baseline: str
    quantities: list[str]
    place: dict[str, int] = {}
    elements: int = 0
    element_bytes: int = 4
    threads: int = 1
    bandwidth: float | None = None
    others: float | None = None
    rows: list[Row] = []

    @property
    def timed_rows(self) -> list[Row]:
        """The rows without a problem."""
        return [row for row in self.rows if row.problem is None]

    def row(self, name: str) -> Row:
        """Return the row of this name."""
        return next(row for row in self.rows if row.name == name)

    def time(self, row: Row, quantity: str) -> Quartiles:
        """Return median and quartiles over the rounds, in seconds per call."""
        return quartiles(row.seconds[quantity])

    def ratio(self, row: Row, quantity: str) -> Quartiles:
        """Return median and quartiles of the ratio to the baseline within each round."""
        baseline = self.row(self.baseline).seconds.get(quantity, [])
        return ratio_quartiles(row.seconds[quantity], baseline)


class BenchmarkRecord(_StrictModel):
    """One run of one benchmark.

    Attributes:
        kind: "kernels", "models", "compiled" or "growth".
        format: the version of the file format.
        made: the end of the run, UTC, ISO 8601.
        environment: versions, commit, machine and kernel.
        allocator: the environment variables of the C library that affect large tensors.
        load: the machine's load average before and after; None if the system does not report it.
        settings: rounds, threads, device and other settings of the run.
        units: the units of the numbers.
        cases: what was measured.
    """

    kind: str
    format: int = FORMAT
    made: str
    environment: dict[str, str]
    allocator: dict[str, str]
    load: list[float | None]
    settings: dict[str, Any]
    units: dict[str, str] = UNITS
    cases: list[Case]

    def case(self, name: str) -> Case:
        """Return the case of this name."""
        return next(case for case in self.cases if case.name == name)

    def to_json(self) -> str:
        """Return the record as JSON, with every list of numbers on one line."""
        plain = self.model_dump_json(indent=1)
        return re.sub(r"\[[-+\d.eE,\s]*\]", lambda found: "".join(found[0].split()), plain) + "\n"

    def save(self, path: Path) -> None:
        """Write the file completely or not at all."""
        write_file(path, self.to_json())


def build_benchmark_record(
    kind: str, settings: dict[str, Any], cases: list[Case], load_before: float | None
) -> BenchmarkRecord:
    """Return the record of a run that has just ended."""
    return BenchmarkRecord(
        kind=kind,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment.describe_environment(),
        allocator={name: os.environ.get(name, "not set") for name in _ALLOCATOR_VARIABLES},
        load=[load_before, load_average()],
        settings=settings,
        cases=cases,
    )


def read_benchmark_record(path: Path) -> BenchmarkRecord:
    """Return the record in a file.

    Raises:
        ArgumentError: the file cannot be read or contains no record.
    """
    try:
        return BenchmarkRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, pydantic.ValidationError) as error:
        got = f"{path} ({type(error).__name__})"
        hint = f"expected a record that `hinged bench ... --out` wrote, in format {FORMAT}"
        raise errors.ArgumentError(errors.message("read_benchmark_record", got, hint)) from None
