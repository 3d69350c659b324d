"""What a record says, in sentences made from its figures."""

from __future__ import annotations

from collections.abc import Sequence

from hinged.lab.study.record import VISIBLE, Record, Row

LEVEL = 0.05
_NAMED = 4


def answer(record: Record) -> str:
    """Return in one sentence what the rows asked about show at the 5 % level, after Holm's
    correction over all comparisons of the study."""
    rows = asked(record)
    if not rows:
        return "Nothing has been compared yet."
    better, worse = (
        [row for row in rows if _decided(row) and _is_better(record, row) == wanted]
        for wanted in (True, False)
    )
    compared = sum(row.versus is not None for row in record.rows)
    open_ = len(rows) - len(better) - len(worse)
    who = "hinged" if record.baseline != "hinged" else "what differs"
    return (
        f"Of {_count(len(rows), 'comparison')} of {who} with {_against(record, rows)}, "
        f"{_listed('better', better)}, {_listed('worse', worse)}, and {open_} show no difference "
        f"at the 5 % level (corrected for {_count(compared, 'comparison')}); differences in "
        f"{record.measure} go from {_extreme(record, min(rows, key=_mean))} to "
        f"{_extreme(record, max(rows, key=_mean))}."
    )


def unsure(record: Record) -> str:
    """Return what remains unsure: how many seeds it would take, trainings that failed or diverged,
    and what the study itself cannot tell."""
    parts = []
    rows = asked(record)
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
        kinds = {f.traceback.strip().splitlines()[-1] for f in record.failures}
        parts.append(f"{len(record.failures)} trainings failed: {'; '.join(sorted(kinds))}.")
    lost = [row for row in record.rows if row.diverged]
    if lost:
        count = sum(len(row.diverged) for row in lost)
        named = "; ".join(f"{row.title}, {_seeds(row.diverged)}" for row in lost)
        parts.append(
            f"{_count(count, 'training')} diverged: their loss or score is no number: {named}."
        )
    if record.scale == "smoke":
        parts.append("This scale shows that the study runs, and nothing else.")
    return " ".join([*parts, record.unsure])


def asked(record: Record) -> list[Row]:
    """Return the rows that the question is about: those of `hinged`, or all that were compared
    where it is `hinged` that they were compared with."""
    return [
        row
        for row in record.rows
        if row.versus is not None and (row.activation == "hinged" or record.baseline == "hinged")
    ]


def number(record: Record, value: float | None, sign: str = "") -> str:
    """Return a value of what is compared, shares in percent.

    >>> record = Record.model_construct(in_percent=True)
    >>> number(record, 0.5), number(record, 0.001, "+"), number(record, None)
    ('50.00', '+0.10', '-')
    """
    if value is None:
        return "-"
    return f"{100 * value:{sign}.2f}" if record.in_percent else f"{value:{sign}.4f}"


def _decided(row: Row) -> bool:
    p = None if row.versus is None else row.versus.p_holm
    return p is not None and p < LEVEL


def _is_better(record: Record, row: Row) -> bool:
    return (_mean(row) > 0) == record.larger_is_better


def _mean(row: Row) -> float:
    return 0.0 if row.versus is None else row.versus.t.mean


def _against(record: Record, rows: Sequence[Row]) -> str:
    labels = {row.versus.label for row in rows if row.versus is not None}
    return labels.pop() if len(labels) == 1 else record.baseline


def _listed(word: str, rows: Sequence[Row]) -> str:
    named = f" ({'; '.join(row.title for row in rows)})" if 0 < len(rows) <= _NAMED else ""
    return f"{len(rows)} {'is' if len(rows) == 1 else 'are'} {word}{named}"


def _extreme(record: Record, row: Row) -> str:
    return (
        f"{number(record, _mean(row), '+')}{' points' if record.in_percent else ''} ({row.title})"
    )


def _seeds(numbers: Sequence[int]) -> str:
    return f"seed{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _count(number_: int, word: str) -> str:
    return f"{number_} {word}{'' if number_ == 1 else 's'}"
