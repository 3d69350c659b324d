"""Sentences about a record: its answer, and what remains unsure."""

from __future__ import annotations

from collections.abc import Sequence

from hinged.lab.study.record import VISIBLE, RecordRow, StudyRecord

LEVEL = 0.05
_MOST_NAMED = 4
"""Rows are named if they are not more than this."""


def answer_sentence(record: StudyRecord) -> str:
    """Return how many rows in question are better or worse at the 5 % level, after Holm's
    correction for all comparisons of the study."""
    rows = rows_in_question(record)
    if not rows:
        return "Nothing has been compared yet."
    better, worse = (
        [row for row in rows if _is_significant(row) and _is_better(record, row) == wanted]
        for wanted in (True, False)
    )
    compared = sum(row.versus is not None for row in record.rows)
    undecided = len(rows) - len(better) - len(worse)
    who = "hinged" if record.baseline != "hinged" else "what differs"
    smallest, largest = min(rows, key=_mean_difference), max(rows, key=_mean_difference)
    return (
        f"Of {_count(len(rows), 'comparison')} of {who} with {_reference_label(record, rows)}, "
        f"{_count_named('better', better)}, {_count_named('worse', worse)}, "
        f"and {undecided} show no difference at the 5 % level "
        f"(corrected for {_count(compared, 'comparison')}); "
        f"differences in {record.measure} go from {_format_difference(record, smallest)} "
        f"to {_format_difference(record, largest)}."
    )


def remaining_doubts(record: StudyRecord) -> str:
    """Return what remains unsure: the number of seeds needed, trainings that failed or diverged,
    and what the study cannot show."""
    parts = []
    rows = rows_in_question(record)
    if rows and record.measure.startswith("test"):
        needed = sorted(row.versus.seeds_needed for row in rows if row.versus is not None)
        pairs = min(row.versus.pairs for row in rows if row.versus is not None)
        visible = "0.2 points" if record.in_percent else f"{VISIBLE:g}"
        span = f"{needed[0]:,}" if needed[0] == needed[-1] else f"{needed[0]:,} to {needed[-1]:,}"
        parts.append(
            f"With the spread seen here it takes {span} seeds to see a difference of {visible} "
            f"four times in five; there were {pairs}."
        )
    if record.missing:
        parts.append(f"{_count(record.missing, 'training')} of the study are missing.")
    if record.failures:
        kinds = {failure.last_line for failure in record.failures}
        parts.append(f"{len(record.failures)} trainings failed: {'; '.join(sorted(kinds))}.")
    diverged = [row for row in record.rows if row.diverged]
    if diverged:
        count = sum(len(row.diverged) for row in diverged)
        named = "; ".join(f"{row.title}, {_seeds(row.diverged)}" for row in diverged)
        parts.append(
            f"{_count(count, 'training')} diverged (loss or score infinite or NaN): {named}."
        )
    if record.scale == "smoke":
        parts.append("This scale shows that the study runs, and nothing else.")
    return " ".join([*parts, record.unsure])


def rows_in_question(record: StudyRecord) -> list[RecordRow]:
    """Return the compared rows of `hinged`, or all compared rows if `hinged` is the baseline."""
    return [
        row
        for row in record.rows
        if row.versus is not None and (row.activation == "hinged" or record.baseline == "hinged")
    ]


def format_value(record: StudyRecord, value: float | None, sign: str = "") -> str:
    """Return a compared value as text, shares in percent; a dash for None.

    >>> record = StudyRecord.model_construct(in_percent=True)
    >>> format_value(record, 0.5), format_value(record, 0.001, "+"), format_value(record, None)
    ('50.00', '+0.10', '-')
    """
    if value is None:
        return "-"
    return f"{100 * value:{sign}.2f}" if record.in_percent else f"{value:{sign}.4f}"


def _is_significant(row: RecordRow) -> bool:
    p = None if row.versus is None else row.versus.p_holm
    return p is not None and p < LEVEL


def _is_better(record: StudyRecord, row: RecordRow) -> bool:
    return (_mean_difference(row) > 0) == record.larger_is_better


def _mean_difference(row: RecordRow) -> float:
    return 0.0 if row.versus is None else row.versus.t.mean


def _reference_label(record: StudyRecord, rows: Sequence[RecordRow]) -> str:
    labels = {row.versus.label for row in rows if row.versus is not None}
    return labels.pop() if len(labels) == 1 else record.baseline


def _count_named(adjective: str, rows: Sequence[RecordRow]) -> str:
    named = f" ({'; '.join(row.title for row in rows)})" if 0 < len(rows) <= _MOST_NAMED else ""
    return f"{len(rows)} {'is' if len(rows) == 1 else 'are'} {adjective}{named}"


def _format_difference(record: StudyRecord, row: RecordRow) -> str:
    unit = " points" if record.in_percent else ""
    return f"{format_value(record, _mean_difference(row), '+')}{unit} ({row.title})"


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
