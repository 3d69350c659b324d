"""Makes tables from a benchmark record, for the terminal and the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hinged.lab.bench.measurement import BACKWARD, FORWARD, FORWARD_BACKWARD
from hinged.lab.bench.record import BenchmarkRecord, Case, Row
from hinged.lab.reporting.fitted_table import FittedTable

# The smallest number of tensors of the input's size that a pass reads and writes. Forward: x and y.
# Backward: x and the gradients with respect to y and x.
_TENSORS_MOVED = {FORWARD: 2, BACKWARD: 3, FORWARD_BACKWARD: 5}
# A smaller number of busy cores is background work of the system or an error of its counters.
_UNDISTURBED = 0.2
_AXES = ("channels", "batch", "threads")


@dataclass(frozen=True)
class TextTable:
    """A table of plain texts.

    Attributes:
        title: the title, with the name of the case, the rounds and the threads.
        headings: the headings of the columns.
        rows: the rows. Each row has one text for each heading.
        problems: pairs `(name, reason)`, one for each activation that was not timed.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    problems: list[tuple[str, str]]


def record_tables(record: BenchmarkRecord) -> Iterator[TextTable]:
    """Yield the tables of a record.

    A case compares several activations on the same inputs or in the same network. Cases that differ
    only in the number of channels, samples or threads are the rows of one table. Every other case
    has a separate table with one row for each activation.
    """
    for axis in _AXES:
        cases = [case for case in record.cases if axis in case.place]
        if cases:
            yield _axis_table(axis, cases)
    device = str(record.settings.get("device", "cpu"))
    for case in record.cases:
        if not case.place:
            yield case_table(case, with_bandwidth=device.startswith("cuda"))


def case_table(case: Case, *, with_bandwidth: bool = False) -> TextTable:
    """Return the table of one case, with one row for each activation that was timed.

    A case compares several activations on the same inputs or in the same network.

    Args:
        case: the measured case.
        with_bandwidth: whether to add columns with the memory bandwidth of each pass. It is shown
            in percent of the bandwidth of a copy, and assumes that each tensor is read or written
            only once.
    """
    rows = case.timed_rows
    columns = [("activation", [_row_label(row) for row in rows])]
    for quantity in case.quantities:
        medians = [format_duration(case.time(row, quantity).median) for row in rows]
        columns.append((quantity, medians))
        ratios = [_ratio_text(case, row, quantity) for row in rows]
        columns.append((f"over {case.baseline}'s (quartiles)", ratios))
    if with_bandwidth and case.bandwidth is not None:
        columns += _bandwidth_columns(case, rows, case.bandwidth)
    if any(row.kept_bytes is not None for row in rows):
        columns.append(("saved for backward", [format_bytes(row.kept_bytes) for row in rows]))
    if any(row.peak_bytes is not None for row in rows):
        columns.append(("peak", [format_bytes(row.peak_bytes) for row in rows]))
    headings, texts_by_column = zip(*columns, strict=True)
    threads = f"{case.threads} thread{'' if case.threads == 1 else 's'}"
    title = f"{case.name}: {case.about}; {_rounds_text([case])}, {threads}{_disturbance([case])}"
    return TextTable(title, headings, list(zip(*texts_by_column, strict=True)), _problems([case]))


def format_duration(seconds: float) -> str:
    """Return a duration as a text with three digits and a unit.

    >>> format_duration(0.01234), format_duration(5.2e-05), format_duration(2.0)
    ('12.3 ms', '52.0 us', '2.00 s')
    """
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{_three_digits(seconds * scale)} {unit}"
    return f"{_three_digits(seconds * 1e6)} us"


def format_bytes(count: int | None) -> str:
    """Return a number of bytes as a text in KiB or MiB. The text is empty for None.

    >>> format_bytes(2**24), format_bytes(768), format_bytes(None)
    ('16.0 MiB', '0.8 KiB', '')
    """
    if count is None:
        return ""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def to_fitted_table(table: TextTable) -> FittedTable:
    """Return a table for the terminal. The rows of hinged are bold.

    In a narrow terminal, columns of memory and bandwidth are left out first, then columns of times.
    The ratios stay.
    """
    ratios = [i for i, heading in enumerate(table.headings) if "quartiles" in heading]
    times = [i - 1 for i in ratios]
    others = [i for i in range(1, len(table.headings)) if i not in (*ratios, *times)]
    return FittedTable(
        [_full_heading(table.headings, i) for i in range(len(table.headings))],
        table.rows,
        title=table.title,
        left_out=(*reversed(others), *reversed(times)),
        found_in="The output of `--json`",
        bold=tuple(row[0] for row in table.rows if row[0].startswith("hinged")),
    )


def _full_heading(headings: Sequence[str], index: int) -> str:
    """Return the heading of a column, with the quantity that the columns before it name."""
    heading = headings[index]
    if heading.startswith("over "):
        return f"{headings[index - 1]} {heading}"
    if heading.startswith("ratio "):
        return f"{headings[index - 2].partition(',')[0]}, {heading}"
    return heading


def _axis_table(axis: str, cases: list[Case]) -> TextTable:
    """Return a table that compares hinged with the baseline, with one row for each case.

    Args:
        axis: the name of the number that differs between the cases, for example "channels".
        cases: the measured cases.
    """
    rows = []
    for case in cases:
        baseline = case.row(case.baseline)
        hinged = next((row for row in case.rows if row.name != case.baseline), None)
        if hinged is None or hinged.problem is not None or baseline.problem is not None:
            continue
        texts = [f"{case.place[axis]:,}", f"{case.elements:,}"]
        for quantity in case.quantities:
            texts.append(format_duration(case.time(baseline, quantity).median))
            texts.append(format_duration(case.time(hinged, quantity).median))
            texts.append(_ratio_text(case, hinged, quantity))
        rows.append(tuple(texts))
    headings = [axis, "inputs"]
    for quantity in cases[0].quantities:
        headings += [f"{quantity}, {cases[0].baseline}", "hinged", "ratio (quartiles)"]
    title = f"{axis}: {cases[0].rows[-1].name}; {_rounds_text(cases)}{_disturbance(cases)}"
    return TextTable(title, tuple(headings), rows, _problems(cases))


def _row_label(row: Row) -> str:
    return row.name + {"shared": " (shared)", "other": " (another function)"}.get(row.family, "")


def _bandwidth_columns(
    case: Case, rows: list[Row], bandwidth: float
) -> list[tuple[str, list[str]]]:
    columns = []
    for quantity in case.quantities:
        moved = _TENSORS_MOVED[quantity] * case.elements * case.element_bytes
        shares = [moved / case.time(row, quantity).median / bandwidth for row in rows]
        columns.append((f"{quantity}, share of a copy's B/s", [f"{share:.0%}" for share in shares]))
    return columns


def _ratio_text(case: Case, row: Row, quantity: str) -> str:
    if row.name == case.baseline:
        return "1"
    median, low, high = (_three_digits(number) for number in case.ratio(row, quantity))
    return f"{median} ({low} to {high})"


def _three_digits(number: float) -> str:
    digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{digits}f}"


def _rounds_text(cases: list[Case]) -> str:
    """Return a text with the number of rounds. A slow quantity may have fewer rounds."""
    counts = {len(s) for case in cases for row in case.rows for s in row.seconds.values()} or {0}
    least, most = min(counts), max(counts)
    return f"{least} rounds" if least == most else f"{least} to {most} rounds"


def _disturbance(cases: list[Case]) -> str:
    """Return a warning if other processes kept cores busy, otherwise an empty text."""
    busy = max((case.others for case in cases if case.others is not None), default=0.0)
    return (
        f"; DISTURBED: other processes kept {busy:.1f} cores busy" if busy >= _UNDISTURBED else ""
    )


def _problems(cases: list[Case]) -> list[tuple[str, str]]:
    return [
        (row.name, row.problem) for case in cases for row in case.rows if row.problem is not None
    ]
