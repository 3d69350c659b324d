"""The record of a benchmark: what ran, on what, how long each round took."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pydantic

from hinged import errors
from hinged.lab._files import write
from hinged.lab.bench.machine import load
from hinged.lab.bench.timing import Spread, ratios, spread
from hinged.lab.experiment import environment

FORMAT = 1
UNITS = {"seconds": "s a call, one number a round", "bytes": "B", "bandwidth": "B/s, read + write"}
# Where large tensors live shortly, these decide whether glibc returns their pages each time.
_ALLOCATOR = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "LD_PRELOAD")


class _Plain(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Row(_Plain):
    """One contestant in one case.

    Attributes:
        name: what tables call it.
        family: a key of `contestants.FAMILIES`.
        package: the distribution it comes from and its version; empty for torch's own.
        parameters: how many numbers it trains.
        problem: why it was not timed, in a sentence; None where it was.
        errors: how far it is from float64, largest error over largest value, by quantity.
        seconds: seconds a call, one number a round, by quantity.
        kept_bytes: bytes kept for the backward pass.
        peak_bytes: most bytes held at once in forward and backward, beyond what was held before.
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


class Case(_Plain):
    """Contestants timed in the same rounds.

    Attributes:
        name: what tables and pictures find it by.
        about: what is measured, in a few words.
        baseline: the row that the others are divided by.
        quantities: what is timed, in the order of the columns.
        place: where the case stands on an axis, e.g. `{"hinges": 9}`; empty where there is none.
        elements: number of inputs a call; 0 where that means nothing.
        threads: threads it ran with.
        bandwidth: bytes a second that a copy of the input reads and writes; None if not measured.
        others: cores that other processes kept busy meanwhile; None where the system does not tell.
        rows: the contestants.
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

    def row(self, name: str) -> Row:
        """Return a row by its name."""
        return next(row for row in self.rows if row.name == name)

    def time(self, row: Row, quantity: str) -> Spread:
        """Return median and quartiles over rounds, in seconds a call."""
        return spread(row.seconds[quantity])

    def ratio(self, row: Row, quantity: str) -> Spread:
        """Return median and quartiles of the ratio to the baseline within a round."""
        return ratios(row.seconds[quantity], self.row(self.baseline).seconds.get(quantity, []))


class Record(_Plain):
    """One run of one benchmark.

    Attributes:
        kind: "kernels", "models", "compiled" or "growth".
        format: the version of this form.
        made: end of the run, UTC, ISO 8601.
        environment: versions, commit, machine and kernel.
        allocator: environment variables of the C library that bear on large tensors.
        load: the machine's load average before and after; None where it does not tell.
        settings: rounds, threads, device and so on.
        units: of the numbers.
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
        """Return a case by its name."""
        return next(case for case in self.cases if case.name == name)

    def text(self) -> str:
        """Return the record as JSON, lists of numbers on one line each."""
        plain = self.model_dump_json(indent=1)
        return re.sub(r"\[[-+\d.eE,\s]*\]", lambda found: "".join(found[0].split()), plain) + "\n"

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write(path, self.text())


def finished(
    kind: str, settings: dict[str, Any], cases: list[Case], load_before: float | None
) -> Record:
    """Return the record of a run that ends now."""
    return Record(
        kind=kind,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        environment=environment.describe(),
        allocator={name: os.environ.get(name, "not set") for name in _ALLOCATOR},
        load=[load_before, load()],
        settings=settings,
        cases=cases,
    )


def read(path: Path) -> Record:
    """Return a record from its file.

    Raises:
        ArgumentError: the file is none.
    """
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, pydantic.ValidationError) as error:
        got = f"{path} ({type(error).__name__})"
        hint = f"expected a record that `hinged bench ... --out` wrote, in format {FORMAT}"
        raise errors.ArgumentError(errors.message("a benchmark's record", got, hint)) from None
