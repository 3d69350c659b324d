"""Imports only go down, and the core needs torch and safetensors alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hinged"
# A file's storey is that of the longest of these names it begins with.
STOREYS = {
    "hinged.errors": 0,
    "hinged.curve": 1,
    "hinged.kernels": 2,
    "hinged.nn": 3,
    "hinged.model": 4,
    "hinged.optim": 4,
    "hinged.hub": 4.25,
    "hinged": 4.5,
    "hinged.torchvision_operators": 4,
    "hinged.lightning": 5,
    "hinged.sklearn": 5,
    "hinged.lab": 5,
    "hinged.__main__": 6,
}
LAB_PACKAGES = (
    "huggingface_hub",
    "lightning",
    "matplotlib",
    "plotly",
    "pydantic",
    "ray",
    "rich",
    "scipy",
    "sklearn",
    "typer",
)


def storey(module):
    names = [name for name in STOREYS if module == name or module.startswith(name + ".")]
    return STOREYS[max(names, key=len)]


def module_name(path):
    parts = ("hinged", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "hinged":
                yield from (f"hinged.{alias.name}" for alias in node.names)


def upward(module, source):
    return [
        name
        for name in imports(source)
        if name.startswith("hinged.") and storey(name) > storey(module)
    ]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=module_name)
def test_imports_only_go_down(path):
    assert upward(module_name(path), path.read_text()) == []


def test_the_test_above_sees_an_upward_import():
    assert upward("hinged.curve.fit", "from hinged.nn import param_groups") == ["hinged.nn"]
    assert upward("hinged.nn.groups", "from hinged import lab") == ["hinged.lab"]


def fresh(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_no_lab_dependency():
    code = f"import sys, hinged; print([p for p in {LAB_PACKAGES} if p in sys.modules])"
    assert fresh(code) == "[]"


def test_the_test_above_sees_a_lab_dependency():
    code = f"import sys, hinged.lab.data; print([p for p in {LAB_PACKAGES} if p in sys.modules])"
    assert "sklearn" in fresh(code)


def test_import_adds_less_than_03_seconds_to_torch():
    code = (
        "import time; now = time.perf_counter; a = now(); import torch; b = now(); import hinged; "
        "print(b - a, now() - b)"
    )
    times = [tuple(map(float, fresh(code).split())) for _ in range(3)]
    torchs, own = (min(each) for each in zip(*times, strict=True))
    assert own < 0.3 * max(1, torchs / 2), "a machine slow or busy takes longer for torch as well"


def test_without_the_extra_the_library_works_and_the_lab_says_what_to_install():
    hide = (
        "import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda n, *a: None if n in ('lightning', 'typer') else find(n, *a);"
    )
    code = (
        f"{hide} import torch, hinged;"
        "print(hinged.PiecewiseLinear(2)(torch.ones(1, 2)).sum().item());"
        "from hinged.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "2.0"
    assert done.returncode == 2
    assert "needs lightning, typer" in done.stderr and "pip install 'hinged[lab]'" in done.stderr
