"""The command `hinged bench`: time and memory of activations on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hinged.cli.declaration import BENCHMARKS, implemented_in, new_app
from hinged.cli.options import AsJson, complete
from hinged.lab.experiment import choices

app = new_app(
    help="Measure the cost of curves on this machine, compared with ReLU, PReLU, GELU and SiLU."
)

_DEFAULT = "relu,gelu,hinged"
_Rounds = Annotated[
    int,
    typer.Option(
        min=1, metavar="INT", help="Number of rounds; each round times every activation once."
    ),
]
_Limit = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Time limit for each comparison; at least 5 rounds always run.",
    ),
]
_Threads = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="INT", help="Torch threads; default: the number that torch chooses."
    ),
]
_Device = Annotated[str, typer.Option(metavar="NAME", help="Device: cpu or cuda.")]
_Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        metavar="",
        help="Use small inputs and at most 3 rounds, to test that everything runs.",
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSON file to which the measurements are written."),
]
_Activations = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Activations, separated by commas: names in 'hinged settings activations'. All are "
        "compared with the first.",
        autocompletion=complete(choices.ACTIVATIONS),
    ),
]
_Hinges = Annotated[int, typer.Option(min=3, metavar="INT", help="Number of hinges of each curve.")]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure the cost of curves. Without a subcommand, one table is made in half a minute."""
    if context.invoked_subcommand is None:
        maps()


@implemented_in(BENCHMARKS)
def maps() -> None:
    """Measure single activations on one input size."""


@app.command()
@implemented_in(BENCHMARKS)
def kernels(
    peers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Python file with a list PEERS of activations of other packages.",
        ),
    ] = None,
    kernels: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Kernels, separated by commas. The first runs in all cases. An additional case "
            "compares them if there are several.",
        ),
    ] = "auto",
    case: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name of a case to measure; may be repeated. Default: all."
        ),
    ] = None,
    rounds: _Rounds = 25,
    limit: _Limit = 40.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Check single activations for correctness, and measure their time and memory."""


@app.command()
@implemented_in(BENCHMARKS)
def models(
    activations: _Activations = _DEFAULT,
    hinges: _Hinges = 9,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name of a network to measure; may be repeated. Default: all."
        ),
    ] = None,
    rounds: _Rounds = 15,
    limit: _Limit = 60.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure training step, inference and memory of networks with different activations."""


@app.command()
@implemented_in(BENCHMARKS)
def compiled(
    activations: _Activations = _DEFAULT,
    hinges: _Hinges = 9,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="Backend of torch.compile.")
    ] = "inductor",
    rounds: _Rounds = 25,
    limit: _Limit = 60.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure convolution, batch normalisation and activation, with and without torch.compile."""


@app.command()
@implemented_in(BENCHMARKS)
def growth(
    rounds: _Rounds = 15,
    limit: _Limit = 45.0,
    threads: _Threads = None,
    device: _Device = "cpu",
    quick: _Quick = False,
    out: _Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure how the cost grows with the number of hinges, channels, samples and threads."""
