"""Commands and library with torch and safetensors alone: no package of an extra can be imported."""

import json
import subprocess
import sys

import pytest

from hinged.cli.command_list import CORE_COMMANDS, SUMMARIES

CORE = "hinged torch torchgen functorch safetensors"
TORCH_NEEDS = "filelock fsspec jinja2 markupsafe mpmath networkx sympy typing_extensions"
BLOCKED = f"""
import importlib.abc, importlib.util, sys, warnings
allowed = {{*sys.stdlib_module_names, *"{CORE} {TORCH_NEEDS}".split()}}

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if not name.startswith("_sysconfigdata") and name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
find = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return find(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
"""
"""Python code that hides all other packages, numpy too."""

SNIPPET = """
import hinged
convert = hinged.convert  # Imports torch.
import torch
from torch import nn
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
model = convert(model, torch.randn(8, 3, 6, 6))
print(hinged.sites(model))
optimizer = torch.optim.AdamW(hinged.param_groups(model, lr=2e-3, weight_decay=0.01))
hinged.simplify(model, tolerance=0.01)
hinged.to_native(model, tolerance=0.01)
"""


def python(code, *arguments):
    """Run Python code without the packages of the extras."""
    command = [sys.executable, "-c", BLOCKED + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def hinged(*arguments):
    """Run the command `hinged` without the packages of the extras."""
    return python("from hinged.__main__ import main; main()", *arguments)


def test_the_packages_are_hidden():
    for package in ("numpy", "typer", "rich", "pydantic", "lightning", "click"):
        assert f"No module named '{package}'" in python(f"import {package}").stderr


@pytest.mark.slow
def test_the_library_works_and_gives_no_warning():
    done = python(SNIPPET)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ReLU()" in done.stdout


@pytest.mark.slow
def test_the_users_own_warnings_and_filters_stay():
    code = """
warnings.filterwarnings("error", "mine")
before = list(warnings.filters)
import hinged
hinged.nn
assert warnings.filters == before
warnings.warn("theirs")
warnings.warn("mine")
"""
    done = python(code)
    assert "UserWarning: theirs" in done.stderr and "UserWarning: mine" in done.stderr
    assert "NumPy" not in done.stderr and done.returncode == 1


@pytest.mark.slow
def test_saving_curves_without_numpy_says_what_to_install():
    code = "import hinged\nhinged.save_curves(hinged.PiecewiseLinear(2), 'curves.safetensors')"
    error = python(code).stderr.splitlines()[-1]
    assert "MissingExtraError: `hinged.save_curves`: got no installed package numpy; " in error
    assert error.endswith("run `pip install numpy`.")


@pytest.mark.slow
def test_info_says_which_packages_are_missing():
    done = hinged("info", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "kernel" in json.loads(done.stdout)
    assert "kernel" in hinged("info").stdout


@pytest.mark.slow
def test_convert_check_lists_the_sites(tmp_path):
    (tmp_path / "mine.py").write_text("from torch import nn\ndef make():\n    return nn.ReLU()\n")
    done = hinged("convert-check", f"{tmp_path / 'mine.py'}:make", "--input-shape", "3,4,4")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 sites would be converted" in done.stdout
    wrong = hinged("convert-check", f"{tmp_path / 'mine.py'}:nothing")
    assert wrong.returncode == 2 and "this file defines make" in wrong.stderr


def test_the_version_is_shown():
    assert hinged("--version").stdout.split()[0] == "hinged"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_all_commands_and_says_which_need_the_extra(arguments):
    done = hinged(*arguments)
    assert done.returncode == 0
    assert [name for name in SUMMARIES if f"    {name} " not in done.stdout + " "] in (
        [],
        ["convert-check"],  # Its summary begins on the next line.
    )
    assert "need: pip install 'hinged[lab]'" in done.stdout


@pytest.mark.parametrize("command", [name for name in SUMMARIES if name not in CORE_COMMANDS])
def test_another_command_says_in_one_sentence_which_extra_is_missing(command):
    done = hinged(command, "--help")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"hinged: `hinged {command}` needs lightning, ")
    assert "pip install 'hinged[lab]'" in done.stderr


@pytest.mark.parametrize("arguments", [["compar"], ["info", "--jsn"], ["convert-check"]])
def test_wrong_arguments_end_with_code_2(arguments):
    done = hinged(*arguments)
    assert done.returncode == 2 and "hinged" in done.stderr and "Traceback" not in done.stderr
