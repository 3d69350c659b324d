"""The command `hinged compare`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hinged.cli.declaration import RUNS, implemented_in, new_app
from hinged.cli.options import (
    AsJson,
    Assignments,
    DataDir,
    Jobs,
    Logger,
    Out,
    Ray,
    Threads,
    complete,
)
from hinged.cli.setting_options import with_setting_options
from hinged.lab.experiment import choices
from hinged.lab.experiment.schema import Experiment

app = new_app()
_DEFAULT = Experiment()


@app.command()
@with_setting_options
@implemented_in(RUNS)
def compare(
    settings: dict[str, Any],
    activations: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Activations, separated by commas: names in 'hinged settings activations', "
            "frozen:NAME (curves that start as NAME and are not trained), or my.py:make.",
            autocompletion=complete(choices.ACTIVATIONS),
        ),
    ] = ",".join(_DEFAULT.activations),
    baseline: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Activation with which the others are compared.",
            autocompletion=complete(choices.ACTIVATIONS),
        ),
    ] = _DEFAULT.baseline,
    seeds: Annotated[
        int,
        typer.Option(
            metavar="INT",
            help="Number of seeds, starting with --first-seed.",
        ),
    ] = len(_DEFAULT.seeds),
    first_seed: Annotated[int, typer.Option(min=0, metavar="INT", help="First seed.")] = 0,
    assignments: Assignments = None,
    tune: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUES",
            help="Setting to tune first, for each activation by itself, on held-out training "
            "samples: training.lr=0.003,0.006; for one activation hinged:NAME=VALUES. May be "
            "repeated.",
        ),
    ] = None,
    data_dir: DataDir = None,
    jobs: Jobs = None,
    threads: Threads = 1,
    ray: Ray = None,
    logger: Logger = "",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train one network with several activations and test which activation is better.

    The same command continues an interrupted run. With more seeds or activations, it extends a
    finished run.
    """
