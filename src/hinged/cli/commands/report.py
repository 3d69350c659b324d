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
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    as_json: AsJson = False,
) -> None:
    """Write the table, the plots and the HTML page again, for each run folder."""
