import pytest

from hinged.cli.option_names import OPTIONS, name_options
from tests.cli.all_commands import all_commands


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
    parameters = [each for command in all_commands().values() for each in command.params]
    assert set(OPTIONS.values()) <= {option for each in parameters for option in each.opts}
