"""The command `hinged settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from hinged.cli.declaration import SETTINGS, implemented_in, new_app
from hinged.cli.option_names import SETTING_OPTIONS
from hinged.cli.options import AsJson, complete
from hinged.lab.experiment.setting_list import list_settings

app = new_app()


@app.command(name="settings")
def settings_(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete({each.name: each.summary for each in list_settings().values()}),
            help="A setting, for example data, model, activations or training.optimizer, or a "
            "section: network, curves or training.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List all settings with their defaults, or one setting with the names that it accepts.

    Options of 'compare' and 'train' set the frequent settings. --set NAME=VALUE sets any setting.
    """
    settings(name=name, options=SETTING_OPTIONS, as_json=as_json)


@implemented_in(SETTINGS)
def settings(name: str | None, options: dict[str, str], as_json: bool) -> None:
    """Print settings."""
