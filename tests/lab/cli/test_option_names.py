import pytest
import typer.core
import typer.main

from hinged.lab.cli.app import app
from hinged.lab.cli.option_names import OPTIONS, name_options


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ("`data table.csv`: got no such file.", "`--data table.csv`: got no such file."),
        ("`network.kind`: got data; use `data_dir`.", "`--model`: got data; use `--data-dir`."),
        ("`hinged.convert(data=...)`: got `data.x`.", "`hinged.convert(data=...)`: got `data.x`."),
    ],
)
def test_settings_in_backticks_become_options(message, translated):
    assert name_options(message) == translated


def all_options(command):
    if isinstance(command, typer.core.TyperGroup):
        return set().union(*map(all_options, command.commands.values()))
    return {option for parameter in command.params for option in parameter.opts}


def test_every_option_exists():
    assert set(OPTIONS.values()) <= all_options(typer.main.get_command(app))
