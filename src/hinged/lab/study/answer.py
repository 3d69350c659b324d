"""Sentences about the record of a study: the answer to its question, and what remains unsure.

A row of a record is one activation in one cell. A cell is one combination of the study's settings.
"""

from __future__ import annotations

from collections.abc import Sequence

from hinged.lab.study.record import VISIBLE, RecordRow, StudyRecord

LEVEL = 0.05
"""Significance level of all tests."""
_MOST_NAMED = 4
"""Largest number of rows that a sentence lists by name."""


def answer_sentence(record: StudyRecord) -> str:
    """Return a sentence that answers the question of a study.

    The sentence says how many activations are better, worse, or not different at the 5 % level.
    P-values have Holm's correction for all comparisons of the study.
    """
    rows = rows_in_question(record)
    if not rows:
        return "Nothing has been compared yet."
    better, worse = (
        [row for row in rows if _is_significant(row) and _is_better(record, row) == wanted]
        for wanted in (True, False)
    )
    compared = sum(row.versus is not None for row in record.rows)
    undecided = len(rows) - len(better) - len(worse)
    who = "hinged" if record.baseline != "hinged" else "other configurations"
    smallest, largest = min(rows, key=_mean_difference), max(rows, key=_mean_difference)
    return (
        f"Of {_count(len(rows), 'comparison')} of {who} with {_reference_label(record, rows)}, "
        f"{_count_named('better', better)}, {_count_named('worse', worse)}, "
        f"and {undecided} show no difference at the 5 % level "
        f"(corrected for {_count(compared, 'comparison')}); "
        f"differences in {record.measure} range from {_format_difference(record, smallest)} "
        f"to {_format_difference(record, largest)}."
    )


def remaining_doubts(record: StudyRecord) -> str:
    """Return sentences about the limits of a study's results.

    They say how many seeds would be needed to find a small difference, which trainings are missing,
    failed or diverged, and what the study cannot show with any number of seeds.
    """
    parts = []
    rows = rows_in_question(record)
    if rows and record.measure.startswith("test"):
        needed = sorted(row.versus.seeds_needed for row in rows if row.versus is not None)
        pairs = min(row.versus.pairs for row in rows if row.versus is not None)
        visible = "0.2 points" if record.in_percent else f"{VISIBLE:g}"
        span = f"{needed[0]:,}" if needed[0] == needed[-1] else f"{needed[0]:,} to {needed[-1]:,}"
        parts.append(
            f"With the spread of these results, {span} seeds are needed to find a difference of "
            f"{visible} with a probability of 80 %; this record compares {pairs} seeds."
        )
    if record.missing:
        parts.append(f"Missing trainings: {record.missing}.")
    if record.failures:
        kinds = {failure.last_line for failure in record.failures}
        parts.append(f"Failed trainings: {len(record.failures)} ({'; '.join(sorted(kinds))}).")
    diverged = [row for row in record.rows if row.diverged]
    if diverged:
        count = sum(len(row.diverged) for row in diverged)
        named = "; ".join(f"{row.title}, {_seeds(row.diverged)}" for row in diverged)
        parts.append(
            f"{_count(count, 'training')} diverged (loss or score infinite or NaN): {named}."
        )
    if record.scale == "smoke":
        parts.append("The scale `smoke` only checks that the study runs; it answers no question.")
    return " ".join([*parts, record.unsure]).strip()


def rows_in_question(record: StudyRecord) -> list[RecordRow]:
    """Return the rows of `hinged` that are compared with another row.

    These rows answer the question of the study. If `hinged` is the baseline, all rows that are
    compared with another row are returned.
    """
    return [
        row
        for row in record.rows
        if row.versus is not None and (row.activation == "hinged" or record.baseline == "hinged")
    ]


def format_value(record: StudyRecord, value: float | None, sign: str = "") -> str:
    """Return a value of the study's measure as text.

    Args:
        record: the record of the study. If its `in_percent` is True, the text is in percent with 2
            decimals. Otherwise it has 4 decimals.
        value: a value or a difference of values. The text is a dash for None.
        sign: `+` to write a plus sign before positive values; empty for no plus sign.

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
