import pytest
import typer

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


def test_every_option_exists():
    commands = typer.main.get_command(app).commands
    commands = [commands[name] for name in ("compare", "train")] + [
        commands["bench"].commands[name] for name in ("kernels", "models")
    ]
    options = {
        option for each in commands for parameter in each.params for option in parameter.opts
    }
    assert set(OPTIONS.values()) <= options
