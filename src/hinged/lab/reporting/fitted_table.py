"""Tables that fit the width of a terminal without cutting a number."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

_GAP = 2
_COMFORTABLE, _NARROWEST = 24, 10
"""Smallest widths, in characters, to which a column of names or sentences is folded: while other
columns may be left out, and if no more column may be left out."""


@dataclass(frozen=True)
class FittedTable:
    """A table of texts, which `console.print(table, crop=False)` of `rich` prints.

    If the table is wider than the console, columns of names and sentences are folded into several
    lines. If this is not enough in a terminal, columns are left out in a fixed order, and a line
    under the table names them. Numbers are never cut: if no more column may be left out, or if the
    output is not a terminal, lines are longer than the console is wide. Columns without any text
    are not shown.

    Attributes:
        headings: the heading of each column.
        rows: the texts of each row, one for each heading.
        title: a text above the table.
        folded: indices of the columns with names and sentences. They are aligned to the left; all
            other columns are aligned to the right.
        left_out: indices of the columns that may be left out, in the order in which this happens.
        found_in: where the reader finds the columns that are left out, for example `the page`.
        bold: first texts of the rows in bold type.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    folded: tuple[int, ...] = (0,)
    left_out: tuple[int, ...] = ()
    found_in: str = ""
    bold: tuple[str, ...] = ()

    def columns_for(self, width: int) -> list[int]:
        """Return the indices of the columns that fit into a width in characters."""
        shown = self._with_texts()
        for index in self.left_out:
            if self._least_width(shown, _COMFORTABLE) <= width:
                break
            if index in shown:
                shown.remove(index)
        return shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text | Table]:
        """Yield the title, the table, and a line about the columns that are left out."""
        room = options.max_width
        shown = self.columns_for(room) if console.is_terminal else self._with_texts()
        width = max(self._least_width(shown, _NARROWEST), min(self._natural_width(shown), room))
        yield Text()
        if self.title:
            yield Text(self.title, style="italic")
        yield self._draw(shown, width)
        missing = dict.fromkeys(self.headings[i] for i in self._with_texts() if i not in shown)
        if missing:
            text = f"Left out in {room} columns: {'; '.join(missing)}."
            where = f" {self.found_in} has them." if self.found_in else ""
            yield Text(text + where, style="dim")
        yield Text()

    def _with_texts(self) -> list[int]:
        """Return the indices of the columns in which a row has a text."""
        return [i for i in range(len(self.headings)) if any(row[i] for row in self.rows)]

    def _draw(self, shown: Sequence[int], width: int) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            padding=(0, _GAP - 1, 0, 0),  # The box adds one character between columns.
            pad_edge=False,
            show_edge=False,
            width=width,
        )
        for index in shown:
            fold = index in self.folded
            heading = Text("\n".join(self._heading_lines(index)))
            align = "left" if fold else "right"
            table.add_column(heading, justify=align, no_wrap=not fold, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            style = "bold" if row[0] in self.bold else ""
            table.add_row(*(Text(row[index]) for index in shown), style=style)
        return table

    def _heading_lines(self, index: int) -> list[str]:
        """Return the lines of a heading. It is not wider than its longest word or cell."""
        heading = self.headings[index]
        word = max(map(len, heading.split()), default=1)
        return textwrap.wrap(heading, max(word, self._cell_width(index)), break_on_hyphens=False)

    def _cell_width(self, index: int) -> int:
        return max((len(row[index]) for row in self.rows), default=0)

    def _width(self, index: int) -> int:
        return max(self._cell_width(index), *map(len, self._heading_lines(index)), 1)

    def _natural_width(self, shown: Sequence[int]) -> int:
        return sum(map(self._width, shown)) + _GAP * (len(shown) - 1)

    def _least_width(self, shown: Sequence[int], narrowest: int) -> int:
        spare = (max(0, self._width(i) - narrowest) for i in shown if i in self.folded)
        return self._natural_width(shown) - sum(spare)
