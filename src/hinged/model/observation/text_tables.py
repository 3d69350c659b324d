"""Formats tables as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_Rows = Sequence[Sequence[str]]
_SHORTEST_NAMES = 5
"""Smallest width of the first column, in characters: the length of the heading `layer`."""


def format_table(rows: _Rows, width: int = 80) -> str:
    """Return the rows of a table as lines of text.

    The first column is aligned to the left, the others to the right. No number is ever cut. If the
    table is too wide, each of these steps is tried in turn:

    1. The texts of a last column without a heading stand below their rows.
    2. Headings that are wider than their columns are broken into several lines.
    3. One space separates the columns instead of two.
    4. Long texts of the first column stand in lines of their own.
    5. The columns are divided into two tables, one below the other.

    Args:
        rows: the texts of each row. The first row contains the headings.
        width: largest number of characters in a line.

    >>> print(format_table([("layer", "dead"), ("relu1", "3")]))
    layer  dead
    relu1     3
    >>> print(format_table([("layer", "dead"), ("blocks.1.relu", "3")], width=12))
    layer   dead
    blocks.1.relu
               3
    """
    notes = [""] * len(rows)
    if rows[0][-1] == "" and _natural_width(rows) > width:
        notes, rows = [row[-1] for row in rows], [row[:-1] for row in rows]
    if _natural_width(rows) > width:
        headings = _break_headings(rows)
        notes, rows = [""] * (len(headings) - 1) + notes, [*headings, *rows[1:]]
    return "\n".join(_fit(rows, notes, width))


def _break_headings(rows: _Rows) -> list[tuple[str, ...]]:
    """Return the headings as several rows, so that no heading is wider than its column or word."""
    columns = []
    for heading, *cells in zip(*rows, strict=True):
        widest = max(map(len, [*heading.split(), *cells]))
        columns.append(textwrap.wrap(heading, max(widest, 1)))
    height = max(map(len, columns))
    return list(zip(*([""] * (height - len(lines)) + lines for lines in columns), strict=True))


def _fit(rows: _Rows, notes: Sequence[str], width: int) -> list[str]:
    """Return the lines of a table, with the note of each row below the row."""
    others = [max(map(len, column)) for column in zip(*rows, strict=True)][1:]
    longest = max(len(row[0]) for row in rows)
    room = {gap: width - sum(others) - gap * len(others) for gap in (2, 1)}
    for least in (longest, _SHORTEST_NAMES):
        for gap, first in room.items():
            if first >= least:
                return _lines(rows, notes, [min(first, longest), *others], gap, width)
    if len(others) < 2:
        return _lines(rows, notes, [longest, *others], 2, width)
    half = 1 + (len(others) + 1) // 2
    rest = [(row[0], *row[half:]) for row in rows]
    return [
        *_fit([row[:half] for row in rows], notes, width),
        "",
        *_fit(rest, [""] * len(rows), width),
    ]


def _lines(
    rows: _Rows, notes: Sequence[str], widths: Sequence[int], gap: int, width: int
) -> list[str]:
    lines = []
    for (name, *figures), note in zip(rows, notes, strict=True):
        if len(name) > widths[0]:
            lines.append(name)
            name = ""
        cells = [name.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]
        lines.append((" " * gap).join(cells).rstrip())
        indent = " " * 4
        lines += textwrap.wrap(note, width, initial_indent=indent, subsequent_indent=indent)
    return lines


def _natural_width(rows: _Rows) -> int:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1)


def format_parameter_counts(parameters: tuple[int, int]) -> str:
    """Return a line with the total numbers of parameters `(before, after)` of a change.

    >>> format_parameter_counts((2000, 500))
    'parameters: 2,000 before, 500 after (25%)'
    """
    before, after = parameters
    return f"parameters: {before:,} before, {after:,} after ({after / before:.0%})"
