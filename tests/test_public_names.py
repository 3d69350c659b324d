"""Tests that `hinged` has its public names, and no others except its modules."""

import ast
import doctest
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import hinged

SOURCE = ast.parse(Path(hinged.__file__).read_text())


def declared():
    """Return the module that each public name is imported from, for type checkers."""
    imports = [node for node in ast.walk(SOURCE) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
    return {name: module for name, module in names.items() if not name.startswith("_")}


def test_type_checkers_see_the_public_names_and_no_others():
    assert sorted(declared()) == hinged.__all__


@pytest.mark.parametrize("name", hinged.__all__)
def test_a_public_name_is_the_object_that_type_checkers_see(name):
    module = importlib.import_module(declared()[name])
    submodule = sys.modules.get(f"hinged.{name}")
    assert getattr(hinged, name) is (submodule or getattr(module, name))


def test_everything_else_without_an_underscore_is_a_module_of_hinged():
    public = {name: value for name, value in vars(hinged).items() if not name.startswith("_")}
    others = {name: value for name, value in public.items() if name not in hinged.__all__}
    leaked = [name for name, v in others.items() if v is not sys.modules.get(f"hinged.{name}")]
    assert leaked == []


def test_dir_lists_names_that_were_not_used_yet():
    code = "import hinged, sys; print(*dir(hinged)); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*hinged.__all__, "errors", "nn", "__version__"} <= set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "from hinged import *; convert, PiecewiseLinear",
        "import hinged; hinged.nn.curve_layers, hinged.model.Site, hinged.kernels.use_kernel",
        "import hinged; hinged.errors.HingedError, hinged.curve.fit, hinged.optim, hinged.hub",
        "import hinged.curve as c; import hinged; assert hinged.simplify is not c.simplify",
        "import hinged, pydoc; assert 'PiecewiseLinear' in pydoc.render_doc(hinged)",
    ],
)
def test_names_are_found_in_a_new_process(code):
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["nonsense", "_nonsense", "lab_"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"'hinged' has no attribute '{name}'"):
        getattr(hinged, name)
    with pytest.raises(ImportError):
        exec(f"from hinged import {name}")


def test_a_public_class_can_be_pickled():
    layer = pickle.loads(pickle.dumps(hinged.PiecewiseLinear(2)))
    assert isinstance(layer, hinged.PiecewiseLinear)


@pytest.mark.parametrize("name", hinged.__all__)
def test_the_example_of_a_public_name_runs_when_it_is_copied(name):
    """A copied example has only the names that it imports itself."""
    text = getattr(hinged, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
