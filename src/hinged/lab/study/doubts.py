"""What remains unsure after a study, as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from hinged.lab.study.record import VISIBLE, StudyRecord
from hinged.lab.study.rivals import rows_in_question
from hinged.lab.study.wording import counted, row_words


def trouble(record: StudyRecord) -> list[str]:
    """Return sentences about what went wrong: an old record, and missing, failed and diverged
    trainings."""
    found = []
    if record.precedes_the_metric:
        found.append("An earlier version made this record: it trained curves without their metric.")
    if record.missing:
        found.append(f"Missing trainings: {record.missing}.")
    if record.failures:
        kinds = {failure.last_line for failure in record.failures}
        found.append(f"Failed trainings: {len(record.failures)} ({'; '.join(sorted(kinds))}).")
    diverged = [row for row in record.rows if row.diverged]
    if diverged:
        count = sum(len(row.diverged) for row in diverged)
        named = "; ".join(f"{row_words(record, row)}, {_seeds(row.diverged)}" for row in diverged)
        found.append(
            f"{counted(count, 'training')} diverged (loss or score infinite or NaN): {named}."
        )
    if record.scale == "smoke":
        found.append("The scale `smoke` only checks that the study runs; it answers no question.")
    return found


def remaining_doubts(record: StudyRecord) -> str:
    """Return sentences about the limits of a study's results; nothing if it names none.

    They say how many seeds would be needed to find a small difference, and what the study cannot
    show with any number of seeds.
    """
    parts = []
    rows = rows_in_question(record)
    if rows and record.measure.startswith("test"):
        needed = sorted(row.versus.seeds_needed for row in rows if row.versus is not None)
        pairs = min(row.versus.pairs for row in rows if row.versus is not None)
        visible = "0.2 points" if record.in_percent else f"{VISIBLE:g}"
        span = f"{needed[0]:,}" if needed[0] == needed[-1] else f"{needed[0]:,} to {needed[-1]:,}"
        parts.append(
            f"To find a difference of {visible} with a probability of 80 %, {span} seeds would be "
            f"needed, by the spread of these results; this record has {pairs}."
        )
    return " ".join([*parts, record.unsure]).strip()


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
