"""The tables that the terminal and the documentation show of a record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.table import Table

from hinged.lab.bench.measurement import BACKWARD, BOTH, FORWARD
from hinged.lab.bench.record import Case, Record, Row
from hinged.lab.bench.timing import Spread

# Inputs read and outputs written once: x to y; x and g to the gradient of x; both.
_PASSES = {FORWARD: 2, BACKWARD: 3, BOTH: 5}
# Cores; what a system does beside, and the counters' resolution.
_QUIET = 0.2
_AXES = ("channels", "batch", "threads")


@dataclass(frozen=True)
class Sheet:
    """A table without a form.

    Attributes:
        title: what it shows.
        headings: of the columns.
        rows: texts, as many a row as there are headings.
        problems: for each contestant that was not timed, its name and why.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    problems: list[tuple[str, str]]


def sheets(record: Record) -> Iterator[Sheet]:
    """Yield the tables of a record: one a case, or one an axis where cases lie on one."""
    for axis in _AXES:
        cases = [case for case in record.cases if axis in case.place]
        if cases:
            yield _axis_sheet(axis, cases)
    device = str(record.settings.get("device", "cpu"))
    for case in record.cases:
        if not case.place:
            yield case_sheet(case, with_bandwidth=device.startswith("cuda"))


def case_sheet(case: Case, *, with_bandwidth: bool = False) -> Sheet:
    """Return the table of one case.

    Args:
        case: what was measured.
        with_bandwidth: add columns that say which share of a copy's bytes a second the passes
            reach, each byte counted once.
    """
    timed = [row for row in case.rows if row.problem is None]
    columns = [_name_column(timed)]
    for quantity in case.quantities:
        columns.append((quantity, [duration(case.time(row, quantity).median) for row in timed]))
        texts = [_ratio(case, row, quantity) for row in timed]
        columns.append((f"over {case.baseline}'s (quartiles)", texts))
    if with_bandwidth and case.bandwidth is not None:
        columns += _bandwidth_columns(case, timed, case.bandwidth)
    if any(row.kept_bytes is not None for row in timed):
        columns.append(("kept for backward", [size(row.kept_bytes) for row in timed]))
    if any(row.peak_bytes is not None for row in timed):
        columns.append(("peak", [size(row.peak_bytes) for row in timed]))
    headings, texts_by_column = zip(*columns, strict=True)
    title = f"{case.name}: {case.about}; {_rounds([case])}, {_count(case.threads, 'thread')}"
    title += _others([case])
    rows = list(zip(*texts_by_column, strict=True))
    return Sheet(title, headings, rows, _problems([case]))


def duration(seconds: float) -> str:
    """Return a time with three digits.

    >>> duration(0.01234), duration(5.2e-05), duration(2.0)
    ('12.3 ms', '52.0 us', '2.00 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{_three_digits(seconds * scale)} {unit}"
    return f"{_three_digits(seconds * 1e6)} us"


def size(count: int | None) -> str:
    """Return bytes in KiB or MiB.

    >>> size(2**24), size(768), size(None)
    ('16.0 MiB', '0.8 KiB', '')
    """
    if count is None:
        return ""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def as_rich(sheet: Sheet) -> Table:
    """Return a sheet as a table of rich; ours in bold."""
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(sheet.headings):
        broken = heading.replace(" (", "\n(").replace(" for ", "\nfor ")
        table.add_column(broken, justify="right" if place else "left")
    for row in sheet.rows:
        table.add_row(*row, style="bold" if row[0].startswith("hinged") else "")
    return table


def _axis_sheet(axis: str, cases: list[Case]) -> Sheet:
    """Return a table with a row a case: baseline and ours along an axis."""
    rows = []
    for case in cases:
        own = next((row for row in case.rows if row.name != case.baseline), None)
        base = case.row(case.baseline)
        if own is None or own.problem is not None or base.problem is not None:
            continue
        texts = [f"{case.place[axis]:,}", f"{case.elements:,}"]
        for quantity in case.quantities:
            texts.append(duration(case.time(base, quantity).median))
            texts.append(duration(case.time(own, quantity).median))
            texts.append(_ratio(case, own, quantity))
        rows.append(tuple(texts))
    headings = [axis, "inputs"]
    for quantity in cases[0].quantities:
        headings += [f"{quantity}, {cases[0].baseline}", "ours", "ratio (quartiles)"]
    title = f"{axis}: {cases[0].rows[-1].name}; {_rounds(cases)}{_others(cases)}"
    return Sheet(title, tuple(headings), rows, _problems(cases))


def _name_column(rows: list[Row]) -> tuple[str, list[str]]:
    notes = {"shared": " (shared)", "other": " (another function)"}
    return "activation", [row.name + notes.get(row.family, "") for row in rows]


def _bandwidth_columns(
    case: Case, rows: list[Row], bandwidth: float
) -> list[tuple[str, list[str]]]:
    columns = []
    for quantity in case.quantities:
        moved = _PASSES[quantity] * case.elements * case.element_bytes
        shares = [moved / case.time(row, quantity).median / bandwidth for row in rows]
        columns.append((f"{quantity}, share of a copy's B/s", [f"{share:.0%}" for share in shares]))
    return columns


def _ratio(case: Case, row: Row, quantity: str) -> str:
    found: Spread = case.ratio(row, quantity)
    if row.name == case.baseline:
        return "1"
    return (
        f"{_three_digits(found.median)} ({_three_digits(found.low)} to {_three_digits(found.high)})"
    )


def _three_digits(number: float) -> str:
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}"


def _rounds(cases: list[Case]) -> str:
    """Return how many rounds there were; a slow quantity may have had fewer than a fast one."""
    counts = {len(s) for case in cases for row in case.rows for s in row.seconds.values()} or {0}
    least, most = min(counts), max(counts)
    return f"{least} rounds" if least == most else f"{least} to {most} rounds"


def _others(cases: list[Case]) -> str:
    """Return a warning where other processes were at work."""
    most = max((case.others for case in cases if case.others is not None), default=0.0)
    return f"; DISTURBED: other processes kept {most:.1f} cores busy" if most >= _QUIET else ""


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _problems(cases: list[Case]) -> list[tuple[str, str]]:
    return [
        (row.name, row.problem) for case in cases for row in case.rows if row.problem is not None
    ]
