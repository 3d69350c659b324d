"""The command `hinged convert-check`."""

from __future__ import annotations

from typing import Annotated

import typer

from hinged.cli.declaration import CORE, implemented_in, new_app
from hinged.cli.options import AsJson

app = new_app()


@app.command()
@implemented_in(CORE)
def convert_check(
    network: Annotated[
        str,
        typer.Argument(
            help="Python file and function, for example my.py:make_net. The function takes no "
            "arguments and returns a model, or (model, batch).",
            metavar="FILE.py:FUNCTION",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Shape of one sample, for example 3,32,32, if the function returns no batch.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the activations of your model and say if hinged.convert would replace them.

    If an activation would not be replaced, the reason is shown. The command writes no files.
    """
