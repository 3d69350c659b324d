"""Formats tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows of a table as lines of text, with two spaces between columns.

    The first column is aligned to the left, the others to the right.

    >>> print(format_table([("layer", "dead"), ("relu1", "3")]))
    layer  dead
    relu1     3
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def format_parameter_counts(parameters: tuple[int, int]) -> str:
    """Return a line with the total numbers of parameters `(before, after)` of a change.

    >>> format_parameter_counts((2000, 500))
    'parameters: 2,000 before, 500 after (25%)'
    """
    before, after = parameters
    return f"parameters: {before:,} before, {after:,} after ({after / before:.0%})"
