"""Tables in Markdown, and pages of which a part is written by a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its first column aligned left and the others right.

    >>> print(table(("name", "time"), [("relu", "1 ms")]))
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


def between(text: str, begin: str, end: str, content: str) -> str:
    """Return `text` with `content` in the place of what stands between two marks.

    >>> between("a <b> old <e> z", "<b>", "<e>", "new").split()
    ['a', '<b>', 'new', '<e>', 'z']
    """
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
