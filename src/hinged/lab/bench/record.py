"""The record of a benchmark: its settings, the machine, and the seconds of every round."""

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
UNITS = {
    "seconds": "s per call, one number per round",
    "bytes": "B",
    "bandwidth": "B/s, read + write",
}
# These environment variables decide whether glibc returns the memory pages of large, short-lived
# tensors to the system.
_ALLOCATOR_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "LD_PRELOAD",
)


class _StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Row(_StrictModel):
    """The measurements of one activation in one case (one size of inputs or one network).

    Attributes:
        name: the label of the activation in tables.
        family: a key of `hinged.lab.bench.timed_activations.FAMILIES`: the kind of activation.
        package: name and version of the package of the activation. Empty for torch.
        parameters: the number of trained parameters of the activations.
        problem: the reason why the activation was not timed. None if it was timed.
        errors: the largest error against float64 divided by the largest value, for each checked
            quantity, for example "output".
        seconds: the seconds per call in each round, for each timed quantity, for example "forward".
        kept_bytes: the number of bytes saved for the backward pass. None if not measured.
        peak_bytes: the peak memory of a forward and a backward pass in bytes. Memory allocated
            before does not count. None if not measured.
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
    """The measurements of several activations on the same inputs or in the same network.

    All activations are timed in the same rounds. A round times every activation once.

    Attributes:
        name: the name of the case in tables and plots.
        about: a short description of the inputs or the network.
        baseline: the name of the row whose times all other times are divided by.
        quantities: what is timed, for example "forward", in the order of the columns.
        place: the value that distinguishes this case from similar cases, for example
            `{"channels": 64}`. Empty if there are no similar cases.
        elements: the number of elements of the input; 0 for whole networks.
        element_bytes: the size of one input element in bytes.
        threads: the number of threads of torch.
        bandwidth: the bytes per second that a copy of the input reads and writes. None if not
            measured.
        others: the average number of cores that other processes kept busy. None if the system does
            not report it.
        rows: the measurements of each activation.
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
        """The rows of the activations that were timed."""
        return [row for row in self.rows if row.problem is None]

    def row(self, name: str) -> Row:
        """Return the row with this name."""
        return next(row for row in self.rows if row.name == name)

    def time(self, row: Row, quantity: str) -> Quartiles:
        """Return the seconds per call of one activation, as median and quartiles over the rounds.

        Args:
            row: the row of the activation.
            quantity: what was timed, for example "forward".
        """
        return quartiles(row.seconds[quantity])

    def ratio(self, row: Row, quantity: str) -> Quartiles:
        """Return the time of one activation divided by the time of the baseline.

        Args:
            row: the row of the activation.
            quantity: what was timed, for example "forward".

        Returns:
            The median and the quartiles of the ratios in all rounds.
        """
        baseline = self.row(self.baseline).seconds.get(quantity, [])
        return ratio_quartiles(row.seconds[quantity], baseline)


class BenchmarkRecord(_StrictModel):
    """The measurements of one run of a benchmark.

    Attributes:
        kind: the command of `hinged bench`: "kernels", "models", "compiled" or "growth".
        format: the version number of the file format.
        made: the time when the run ended, in UTC and ISO 8601.
        environment: package versions, commit, machine and kernel of the run.
        allocator: the values of environment variables that affect memory for large tensors.
        load: the load average of the machine before and after the run. An entry is None if the
            system does not report it.
        settings: rounds, threads, device and other settings of the run, by name.
        units: the units of seconds, bytes and bandwidth.
        cases: the measurements of each case.
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
        """Return the case with this name."""
        return next(case for case in self.cases if case.name == name)

    def to_json(self) -> str:
        """Return the record as a JSON text. Every list of numbers is on one line."""
        plain = self.model_dump_json(indent=1)
        return re.sub(r"\[[-+\d.eE,\s]*\]", lambda found: "".join(found[0].split()), plain) + "\n"

    def save(self, path: Path) -> None:
        """Write the record to a JSON file. If writing fails, no incomplete file is left."""
        write_file(path, self.to_json())


def build_benchmark_record(
    kind: str, settings: dict[str, Any], cases: list[Case], load_before: float | None
) -> BenchmarkRecord:
    """Return the record of a run that has just ended.

    Args:
        kind: the command of `hinged bench`, for example "kernels".
        settings: the settings of the run, by name.
        cases: the measurements of each case.
        load_before: the load average before the run. None if the system does not report it.
    """
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
    """Read the record of a benchmark from a JSON file.

    Raises:
        ArgumentError: if the file cannot be read or contains no record.
    """
    try:
        return BenchmarkRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # Also text that is not UTF-8, and invalid fields.
        got = f"{path}, which cannot be read as a record ({type(error).__name__})"
        hint = (
            "give a file that `hinged bench ... --out FILE.json` wrote, with version "
            f"{FORMAT} of the file format"
        )
        raise errors.ArgumentError(errors.message("read_benchmark_record", got, hint)) from None
