"""Writes tables in Markdown, and replaces the generated part of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. The first column is aligned left, the others right.

    >>> print(markdown_table(("name", "time"), [("relu", "1 ms")]))
    | name | time |
    |---|---:|
    | relu | 1 ms |
    """
    lines = [
        f"| {' | '.join(headings)} |",
        f"|---|{'---:|' * (len(headings) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines)


def replace_between(text: str, begin: str, end: str, content: str) -> str:
    """Return `text` with `content` between two marks.

    >>> replace_between("a <b> old <e> z", "<b>", "<e>", "new").split()
    ['a', '<b>', 'new', '<e>', 'z']
    """
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
