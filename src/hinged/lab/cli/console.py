"""Terminal output that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from hinged.lab.reporting.terminal import TerminalProgress
from hinged.lab.runs.compare import ProgressListener


def wide_console() -> Console:
    """Return a console for tables. Without a terminal it has 160 columns, because rich's default of
    80 would break the tables."""
    return Console(width=None if sys.stdout.isatty() else 160)


@contextmanager
def show_progress(quiet: bool) -> Iterator[ProgressListener]:
    """Give the listener of a run: it shows progress in the terminal, or nothing if `quiet`.

    If the user stops the run, print how to continue it and exit with code 130.
    """
    try:
        if quiet:
            yield ProgressListener()
        else:
            with TerminalProgress(Console()) as listener:
                yield listener
    except (KeyboardInterrupt, SystemExit):  # Lightning turns SIGINT and SIGTERM into SystemExit.
        print("hinged: stopped; the same command continues.", file=sys.stderr)
        raise typer.Exit(130) from None
