"""Help and shell completion import no large package, so they are quick.

The tests look at the imported modules, because times depend on the load of the machine.
"""

import os
import subprocess
import sys

import pytest

from tests.cli.all_commands import all_commands

LARGE = "torch numpy lightning scipy sklearn matplotlib plotly torchvision timm ray pandas"
"""Packages that take more than 0.1 s to import. typer itself imports pydantic, which takes less."""
REPORT = f"""
import atexit, sys
@atexit.register
def report():
    found = [name for name in "{LARGE}".split() if name in sys.modules]
    print("IMPORTED", *found, file=sys.stderr)
from hinged.__main__ import main
main()
"""


def run(*arguments, **environment):
    """Run the command `hinged` in a new process, and return it and the packages it imports."""
    command = [sys.executable, "-c", REPORT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    return done, set(done.stderr.rpartition("IMPORTED")[2].split())


@pytest.mark.parametrize("command", ["", *all_commands()])
def test_help_imports_no_large_package(command):
    done, imported = run(*command.split(), "--help")
    assert done.returncode == 0 and f"Usage: hinged {command}".rstrip() in done.stdout
    assert not imported


@pytest.mark.parametrize("arguments", [["--version"], ["settings"], ["settings", "data"]])
def test_version_and_settings_import_no_large_package(arguments):
    done, imported = run(*arguments)
    assert done.returncode == 0 and not imported


@pytest.mark.parametrize("arguments", [["compare", "--no-such"], ["train", "--lr", "x"], ["no"]])
def test_wrong_options_are_refused_without_a_large_package(arguments):
    done, imported = run(*arguments)
    assert done.returncode == 2 and not imported


@pytest.mark.slow
def test_info_imports_torch_and_no_package_of_the_laboratory():
    done, imported = run("info")
    assert "kernel" in done.stdout
    assert "torch" in imported and imported <= {"torch", "numpy"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("hinged com", {"compare"}),
        ("hinged study r", {"run", "record"}),
        ("hinged compare --ep", {"--epochs"}),
        ("hinged compare --data fash", {"fashion-mnist"}),
        ("hinged compare --activations relu,hing", {"relu,hinged"}),
        ("hinged train --model vgg", {"vgg11", "vgg11_bn"}),
        ("hinged settings training.opt", {"training.optimizer"}),
    ],
)
def test_the_shell_completes_names_without_a_large_package(words, found):
    number = str(len(words.split()) - 1)
    done, imported = run(_HINGED_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=number)
    assert set(done.stdout.split()) == found
    assert not imported


def test_the_program_offers_to_install_the_completion():
    assert "--install-completion" in run("--help")[0].stdout


@pytest.mark.slow
def test_large_packages_are_found():
    assert {"torch", "lightning", "scipy"} <= run("report", "nowhere")[1]
