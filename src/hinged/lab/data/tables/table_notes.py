"""Sentences about a table: what was found in it, and what was done with each column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hinged.lab.data.tables.columns import MOST_LEVELS, Column

_MOST_NAMED = 10
"""Largest number of columns that a sentence names."""


class TableNotes(NamedTuple):
    """Sentences about a table.

    Attributes:
        found: what was found, and what was done with it.
        warnings: reasons to look at the table again before the results are trusted.
    """

    found: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


NO_NOTES = TableNotes()


def describe_columns(columns: Sequence[Column], left_out: Sequence[str]) -> TableNotes:
    """Return sentences about the input columns.

    Args:
        columns: the columns.
        left_out: names of the columns that the user leaves out.
    """
    found = [*_sentences(columns, left_out), *_remarks(columns, warns=False)]
    return TableNotes(tuple(found), tuple(_remarks(columns, warns=True)))


def _sentences(columns: Sequence[Column], left_out: Sequence[str]) -> Iterator[str]:
    """Yield the sentences about several columns."""
    texts = [
        f"{each.name} ({each.levels})"
        for each in columns
        if each.kind == "texts" and each.levels <= MOST_LEVELS
    ]
    dates = [each.name for each in columns if each.kind == "dates" and not each.remark]
    missing = [each for each in columns if each.missing and each.kind != "left out"]
    marked = [_missing(each) for each in missing if each.kind != "texts"]
    blank = [_missing(each) for each in missing if each.kind == "texts"]
    if left_out:
        yield f"Left out, as --leave-out says: {listed(left_out)}."
    if texts:
        yield f"Texts, with an input for each different text: {listed(texts)}."
    if dates:
        yield (
            "Dates, as the day and the position in the year and the week, and times as the "
            f"position in the day: {listed(dates)}."
        )
    if marked:
        yield (
            f"Missing values: {listed(marked)}. They become the median of the training rows, and "
            "one more input marks them."
        )
    if blank:
        yield f"Missing texts, which count as a text of their own: {listed(blank)}."


def _remarks(columns: Iterable[Column], *, warns: bool) -> Iterator[str]:
    """Yield the remarks on single columns: the warnings, or all others."""
    for column in columns:
        if column.remark and column.warns == warns:
            yield f"{column.name}: {column.remark}."


def _missing(column: Column) -> str:
    return f"{column.name} ({column.missing:,} of {len(column.values):,} rows)"


def listed(names: Iterable[str]) -> str:
    """Return names as a list in a sentence. It is cut after 10 names.

    >>> listed("abc"), listed("abcdefghijkl")
    ('a, b, c', 'a, b, c, d, e, f, g, h, i, j and 2 more')
    """
    names = list(names)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
