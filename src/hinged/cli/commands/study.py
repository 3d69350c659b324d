"""The commands `hinged study list`, `show`, `run`, `record` and `copy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinged.cli.declaration import STUDIES, implemented_in, new_app
from hinged.cli.options import AsJson, DataDir, Jobs, Logger, Ray, Threads

app = new_app(
    help="A study has a question, comparisons that answer it, and a record of the results."
)

RECORDS = Path("studies") / "records"

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name in 'hinged study list', or a file.toml.")
]
_Records = Annotated[Path, typer.Option(metavar="DIR", help="Folder for records.")]


@app.callback(invoke_without_command=True)
def study(context: typer.Context) -> None:
    """Show the help if no subcommand is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(name="list")
@implemented_in(STUDIES)
def list_(as_json: AsJson = False) -> None:
    """List the studies, with the number of trainings at each scale (smoke, small or full)."""


@app.command()
@implemented_in(STUDIES)
def show(name: _Name, as_json: AsJson = False) -> None:
    """Show the question of a study and its comparisons at each scale (smoke, small, full)."""


@app.command()
@implemented_in(STUDIES)
def run(
    name: _Name,
    scale: Annotated[
        str, typer.Option(metavar="NAME", help="Size of the study: smoke, small or full.")
    ] = "small",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the study. The same command continues an unfinished study.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="INT",
            help="Number of seeds; default: set by the scale. More seeds extend a study.",
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="float32 or bf16, for studies with precision auto. Default: the faster precision "
            "on this machine.",
        ),
    ] = None,
    ray: Ray = None,
    logger: Logger = "",
    data_dir: DataDir = None,
    write_record: Annotated[
        bool,
        typer.Option(
            "--record", metavar="", help="Write the record into the folder --records too."
        ),
    ] = False,
    records: _Records = RECORDS,
    as_json: AsJson = False,
) -> None:
    """Run all trainings of a study that have no result in the study's folder yet.

    The same command continues an interrupted study. Two processes with the same command share the
    trainings. If a training fails, its error is written into the folder and the other trainings
    continue.
    """


@app.command()
@implemented_in(STUDIES)
def record(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study.")],
    records: _Records = RECORDS,
    as_json: AsJson = False,
) -> None:
    """Write the record of a study from the results in the study's folder."""


@app.command()
@implemented_in(STUDIES)
def copy(
    name: _Name,
    to: Annotated[
        Path, typer.Argument(metavar="PATH", help="The new file, or an existing folder.")
    ],
) -> None:
    """Copy the file of a study. You can change the copy and run it as a new study."""
