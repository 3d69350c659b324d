"""Tables in Markdown, and the replacement of the generated part of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table. Its first column is aligned left, all other columns right.

    Args:
        headings: the heading of each column.
        rows: the texts of each row, one text per column. They may contain Markdown. A `|` in a text
            does not end its cell.

    >>> print(markdown_table(("name", "time"), [("relu", "1 ms")]))
    | name | time |
    |---|---:|
    | relu | 1 ms |
    """
    lines = [
        f"| {' | '.join(map(_cell, headings))} |",
        f"|---|{'---:|' * (len(headings) - 1)}",
        *(f"| {' | '.join(map(_cell, row))} |" for row in rows),
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", r"\|")


def replace_between(text: str, begin: str, end: str, content: str) -> str:
    """Return `text` with everything between two marks replaced by `content`.

    Args:
        text: a text that contains each mark exactly once.
        begin: the first mark. It stays in the text.
        end: the second mark. It stays in the text.
        content: the new text between the marks.

    >>> replace_between("a <b> old <e> z", "<b>", "<e>", "new").split()
    ['a', '<b>', 'new', '<e>', 'z']
    """
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
