"""Printing of tables as in terminals of different widths."""

import io

from rich.console import Console

WIDTHS = (60, 80, 120, 200)


def printed(table, width):
    """Return what a terminal of this width shows of a table."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(table, crop=False)
    return console.file.getvalue()


def whole_cells(text, row, columns):
    """Whether the cells of a row are in a printed table, each in one piece.

    The first cell may be folded into several lines.
    """
    name, figures = row[0], [row[index] for index in columns if index and row[index]]
    start = name[:8]
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return any(_in_order(line, figures) for line in lines)


def _in_order(line, figures):
    position = 0
    for figure in figures:
        position = line.find(figure, position)
        if position < 0:
            return False
        position += len(figure)
    return True
