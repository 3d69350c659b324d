"""The command `hinged report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinged.cli.declaration import RUNS, implemented_in, new_app
from hinged.cli.options import AsJson

app = new_app()


@app.command()
@implemented_in(RUNS)
def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN|STUDY", help="Folders of runs or studies.")
    ],
    csv: Annotated[
        bool,
        typer.Option("--csv", metavar="", help="Write results.csv (trainings) and table.csv too."),
    ] = False,
    latex: Annotated[
        bool,
        typer.Option(
            "--latex", metavar="", help="Write table.tex too; it needs the package booktabs."
        ),
    ] = False,
    figures: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Write the plots as svg, pdf or png files too."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for these files; default: that of the run or study. For several runs, "
            "each has a folder of its name in it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the table, the plots and the HTML page again, for each run or study.

    The table, the results of the trainings and the plots are also written for other programs, in
    the formats asked for.
    """
