"""Tests of imports between modules.

A module imports only from lower storeys (levels) of the package. The public names of `hinged` need
only torch and safetensors.
"""

import ast
import functools
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hinged"
# The storey of each module. The longest name that a module's name begins with decides.
STOREYS = {
    "hinged.errors": 0,
    "hinged.atomic_files": 0,
    "hinged.user_code": 0,
    "hinged._torch_import": 0,
    "hinged.curve": 1,
    "hinged.kernels": 2,
    "hinged.nn": 3,
    "hinged.installation": 3,
    "hinged.model": 4,
    "hinged.optim": 4,
    "hinged.hub": 4.25,
    "hinged": 4.5,
    "hinged._torchvision_operators": 4,
    "hinged.lightning": 5,
    "hinged.sklearn": 5,
    "hinged.lab": 5,
    "hinged.cli": 6,
    "hinged.__main__": 7,
}
# The rooms (subpackages) of a package, from the lowest to the highest level. A room imports only
# from lower levels.
ROOMS = {
    "hinged.model": [
        ["module_tree"],
        ["adaptation"],
        ["observation"],
        ["display"],
        ["conversion", "calibration", "compression"],
    ],
    "hinged.lab": [
        ["_read_file", "_write_file"],
        ["experiment", "problems"],
        ["data"],
        ["networks"],
        ["training"],
        ["runs"],
        ["reporting"],
        ["study", "bench"],
        ["cli"],
    ],
}
LEVELS = {
    f"{package}.{room}": level
    for package, levels in ROOMS.items()
    for level, rooms in enumerate(levels)
    for room in rooms
}


def storey(module):
    names = [name for name in STOREYS if module == name or module.startswith(name + ".")]
    return STOREYS[max(names, key=len)]


def room(module):
    """Return the room that contains a module, or None if it is in no room."""
    name = ".".join(module.split(".")[:3])
    return name if name in LEVELS else None


def module_name(path):
    parts = ("hinged", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports(source):
    """Yield the modules that a source text imports, including modules imported from a package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if node.module == "hinged" or f"{node.module}.{alias.name}" in FILES
            )


def upward(module, source):
    """Return the imports of a module that break the rules of storeys and rooms."""
    own = room(module)
    found = []
    for name in imports(source):
        if not name.startswith("hinged."):
            continue
        other = room(name)
        if storey(name) > storey(module):
            found.append(name)
        elif own and other and own != other and same_package(own, other):
            found += [name] if LEVELS[other] >= LEVELS[own] else []
        elif own and name in ROOMS and same_package(own, f"{name}."):
            found.append(name)  # Importing the package would import all its rooms.
    return found


def same_package(one, other):
    return one.split(".")[1] == other.split(".")[1]


@pytest.mark.parametrize("module", FILES)
def test_imports_only_go_down(module):
    assert upward(module, FILES[module].read_text()) == []


def test_every_file_of_a_package_with_rooms_is_in_a_room():
    inside = [m for m in FILES if any(m.startswith(f"{package}.") for package in ROOMS)]
    assert [module for module in inside if room(module) is None] == []


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("hinged.curve.fit_function", "from hinged.nn import param_groups", "hinged.nn"),
        ("hinged.nn.penalties", "from hinged import lab", "hinged.lab"),
        (
            "hinged.lab.data.train_test_split",
            "from hinged.lab.runs import compare",
            "hinged.lab.runs",
        ),
        ("hinged.lab.study.cells", "import hinged.lab.bench.plots", "hinged.lab.bench.plots"),
        ("hinged.model.module_tree", "from hinged.model import convert", "hinged.model"),
        (
            "hinged.model.calibration.calibrate",
            "import hinged.model.conversion.x",
            "hinged.model.conversion.x",
        ),
    ],
)
def test_an_upward_import_is_found(module, source, found):
    assert found in upward(module, source)


@functools.cache
def graph():
    """Return the modules of hinged that each file imports, for all files except `__init__.py`."""
    return {
        module: {name for name in imports(path.read_text()) if name in FILES and name != module}
        for module, path in FILES.items()
        if path.name != "__init__.py"
    }


def circle(arrows):
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return None


@pytest.mark.slow
def test_no_imports_go_in_a_circle():
    assert circle(graph()) is None


def test_a_circle_of_imports_is_found():
    assert circle({"a": {"b"}, "b": {"a"}}) == ["a", "b", "a"]
    closed = graph() | {"hinged.errors": {"hinged.lab.cli.run_commands"}}
    assert circle(closed) is not None


IMPORTED = """
import sys
import hinged
first = set(sys.modules)
import torch
before = set(sys.modules)
for name in hinged.__all__:
    getattr(hinged, name)
core = set(sys.modules) - before
import hinged.lab.training.fit
lab = set(sys.modules) - before
for modules in (first, core, lab):
    print(*{name.split(".")[0] for name in modules} - set(sys.stdlib_module_names))
"""


@pytest.mark.slow
def test_import_hinged_is_quick_and_its_names_load_only_torch_and_safetensors():
    command = [sys.executable, "-c", IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, core, lab = (set(line.split()) for line in done.stdout.splitlines())
    assert "hinged" in first and not first & {"torch", "safetensors", "numpy"}
    assert core == {"hinged", "safetensors"}
    assert "pydantic" in lab, "imports of hinged.lab were not found"


LIGHTNING = """
import importlib.util as u
find = u.find_spec
hidden = ("filelock", "jinja2", "plotly", "pydantic", "typer")
u.find_spec = lambda n, *a: None if n in hidden else find(n, *a)
import hinged.lightning
"""


def test_the_callbacks_need_lightning_and_no_other_package_of_the_lab():
    subprocess.run([sys.executable, "-c", LIGHTNING], check=True)


SKLEARN = """
import importlib.util as u
find = u.find_spec
hidden = ("filelock", "jinja2", "lightning", "plotly", "pydantic", "typer")
u.find_spec = lambda n, *a: None if n in hidden else find(n, *a)
import sys
import hinged.sklearn
assert not {"matplotlib", "lightning", "hinged.lab"} & set(sys.modules)
"""


def test_the_estimators_need_no_other_package_of_the_lab():
    subprocess.run([sys.executable, "-c", SKLEARN], check=True)


def test_the_estimators_name_the_packages_that_they_need():
    code = SKLEARN.replace('"typer"', '"sklearn"').replace("import sys", "")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs sklearn (not installed)" in done.stderr
    assert "pip install 'hinged[sklearn]'" in done.stderr
