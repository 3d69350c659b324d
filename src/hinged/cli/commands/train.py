"""The command `hinged train`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hinged.cli.declaration import RUNS, implemented_in, new_app
from hinged.cli.options import (
    AsJson,
    Assignments,
    DataDir,
    Logger,
    Out,
    Threads,
    complete,
)
from hinged.cli.setting_options import with_setting_options
from hinged.lab.experiment import choices

app = new_app()


@app.command()
@with_setting_options
@implemented_in(RUNS)
def train(
    settings: dict[str, Any],
    activation: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A name in 'hinged settings activations', frozen:NAME (curves that start as NAME "
            "and are not trained), or my.py:make.",
            autocompletion=complete(choices.ACTIVATIONS),
        ),
    ] = "hinged",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="INT",
            help="Seed of the initial weights and the order of the data.",
        ),
    ] = 0,
    assignments: Assignments = None,
    data_dir: DataDir = None,
    threads: Threads = 1,
    logger: Logger = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train one network and save a checkpoint after each epoch.

    The same command resumes an interrupted training. The weights of the trained network are saved.
    Another training can start from them, with the option --pretrained. To train on several GPUs or
    machines: torchrun --nproc-per-node 4 -m hinged train ...
    """
