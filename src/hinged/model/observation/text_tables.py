"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines, columns two spaces apart, the first to the left, the others
    to the right.

    >>> print(aligned([("layer", "dead"), ("relu1", "3")]))
    layer  dead
    relu1     3
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def reduction(parameters: tuple[int, int]) -> str:
    """Return in a line how many parameters there were and are.

    >>> reduction((2000, 500))
    'parameters: 2,000 before, 500 after (25%)'
    """
    before, after = parameters
    return f"parameters: {before:,} before, {after:,} after ({after / before:.0%})"
