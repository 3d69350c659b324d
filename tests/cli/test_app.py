import os
import subprocess
import sys

import pytest

from hinged.cli.command_list import SUMMARIES
from tests.cli.all_commands import all_commands
from tests.cli.run_command import error_of, run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compar"], "hinged: `hinged`: got 'compar'; did you mean 'compare'? All of: bench, "),
        (["study", "lst"], "Did you mean 'list'? `hinged study --help` lists what is valid."),
        (["info", "--jsn"], "No such option: --jsn (Possible options: --json). `hinged info"),
        (["train", "--epochs", "few"], "Invalid value for '--epochs': "),
        (["compare", "--jobs", "0"], "Invalid value for '--jobs': "),
        (["convert-check"], "Missing argument 'FILE.py:FUNCTION'. `hinged convert-check --help`"),
        (["compare", "--lr"], "Option '--lr' requires an argument."),
        (
            ["compare", "--tails", "free"],
            "`hinged compare --tails`: got a setting that has no option; give --set "
            "curves.tails=VALUE; `hinged settings curves.tails` says what it means.",
        ),
        (["train", "--calibrate-after", "1"], "give --set training.calibrate_after=VALUE"),
        (["study", "run", "mnist", "--epochs", "3"], "No such option: --epochs"),
        (["report", "--tails", "x"], "No such option: --tails"),
        (["train", "--activation", "rleu"], "`--activation`: got 'rleu'; did you mean"),
    ],
)
def test_wrong_arguments_get_one_sentence(capsys, arguments, message):
    error = error_of(capsys, *arguments)
    assert message in error and error.startswith("hinged: ") and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command(arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert [name for name in SUMMARIES if f"│ {name} " not in result.output] == []


@pytest.mark.parametrize("group", ["study", "bench"])
def test_help_of_a_group_lists_its_commands(group):
    text = run(group, "--help").output
    names = [name.partition(" ")[2] for name in all_commands() if name.startswith(f"{group} ")]
    assert len(names) > 3 and [name for name in names if f"│ {name} " not in text] == []


def test_a_group_without_a_command_shows_its_help():
    result = run("study")
    assert result.exit_code == 0 and "Usage: " in result.output


@pytest.mark.parametrize("command", ["compare", "train"])
def test_help_of_the_main_commands_fills_two_screens(monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(command, "--help").output.splitlines()
    assert len(lines) <= 2 * 50 and max(map(len, lines)) <= 80
    titles = [line.split()[1] for line in lines if line.startswith("╭")]
    assert titles == ["Options", "Data", "Network", "Activations", "Training", "Running"]
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("command", all_commands())
def test_every_option_and_argument_has_a_help_text(command):
    for parameter in all_commands()[command].params:
        assert len(parameter.help or "") > 5, parameter.name


def test_the_version_is_shown():
    import hinged

    assert run("--version").output == f"hinged {hinged.__version__}\n"


INTERRUPTED = """
import importlib, sys
find = importlib.import_module
def interrupt(name, package=None):
    if name == {module!r}:
        raise KeyboardInterrupt
    return find(name, package)
importlib.import_module = interrupt
sys.argv = ["hinged", *{arguments!r}]
from hinged.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("hinged.cli.commands.compare", ["compare", "--help"]),
        ("hinged.lab.cli.run_commands", ["compare"]),
        ("hinged.cli.core_commands", ["info"]),
    ],
)
def test_an_interrupt_during_the_imports_ends_the_command_quietly(tmp_path, module, arguments):
    code = INTERRUPTED.format(module=module, arguments=arguments)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
