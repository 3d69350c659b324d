"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer


def complete(names: Mapping[str, str]) -> Callable[[str], list[tuple[str, str]]]:
    """Return a function that completes a name, or the last name of a comma-separated list.

    Args:
        names: the names and their meanings.

    >>> complete({"relu": "ReLU", "silu": "SiLU"})("silu,re")
    [('silu,relu', 'ReLU')]
    """

    def completions(incomplete: str) -> list[tuple[str, str]]:
        before, comma, last = incomplete.rpartition(",")
        found = [name for name in names if name.startswith(last)]
        return [(f"{before}{comma}{name}", names[name]) for name in found]

    return completions


Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value of any setting in 'hinged settings'; may be repeated.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with data sets. Default: the environment variable HINGED_DATA. Without it, "
        "data sets are downloaded.",
    ),
]
Threads = Annotated[
    int,
    typer.Option(min=1, metavar="INT", help="Torch threads of each training."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="INT",
        help="Trainings at the same time; default: one per GPU, or without a GPU one per core.",
    ),
]
Logger = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Record every epoch in the run folder with this logger: csv, tensorboard or wandb.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster that trains; local starts a cluster on this machine.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the run. The same command continues an unfinished run.",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", metavar="", help="Print the result as JSON and nothing else."),
]
