import pytest
import typer

from hinged.lab.cli.app import app
from hinged.lab.cli.option_names import OPTIONS, name_options
from hinged.lab.experiment.schema import Experiment


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


def test_every_setting_and_every_option_exists():
    settings = Experiment().model_dump()
    for name in OPTIONS.keys() - {"RayCluster(address=...)", "assignments", "data_dir", "logger"}:
        section, _, rest = name.rpartition(".")
        assert rest in (settings[section] if section else settings)
    commands = typer.main.get_command(app).commands
    parameters = commands["compare"].params + commands["train"].params
    options = {option for parameter in parameters for option in parameter.opts}
    assert set(OPTIONS.values()) <= options
