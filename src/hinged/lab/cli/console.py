"""Terminal output that several commands use."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from hinged.lab.reporting.fitted_table import FittedTable
from hinged.lab.reporting.terminal_progress import TerminalProgress
from hinged.lab.runs.progress_listener import ProgressListener


def wide_console() -> Console:
    """Return a console for printing sentences and tables.

    If the output is not a terminal, the console has 160 columns.
    """
    return Console(width=None if sys.stdout.isatty() else 160)


def print_table(console: Console, table: FittedTable) -> None:
    """Print a table to a console. The table fits the width of the terminal, without cut numbers."""
    console.print(table, crop=False)


def print_paths(console: Console, page: Path | None, files: Iterable[Path]) -> None:
    """Print the path of a page, if one was written, and of other files that were written."""
    pages = [] if page is None else [("Page", page)]
    for what, path in (*pages, *(("File", each) for each in files)):
        console.print(f"{what}: {path}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def show_progress(quiet: bool) -> Iterator[ProgressListener]:
    """Yield a listener that shows the progress of a run in the terminal.

    Args:
        quiet: whether to show nothing.
    """
    if quiet:
        yield ProgressListener()
        return
    with TerminalProgress(Console()) as listener:
        yield listener


@contextmanager
def resumable() -> Iterator[None]:
    """Let the user stop the command in the `with` block by Ctrl+C.

    The command prints at once that it is stopping. Then it prints how to continue, and exits with
    code 130. A second Ctrl+C ends the program immediately.
    """
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):  # A program that a shell started in the background ignores Ctrl+C.
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # Lightning turns SIGINT and SIGTERM into SystemExit.
        print("hinged: stopped. Run the same command again to continue.", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, handler)


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    # `print` fails if the interrupt came during a call of `print`.
    os.write(sys.stderr.fileno(), b"\nhinged: stopping ...\n")
    raise KeyboardInterrupt
