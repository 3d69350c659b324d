import copy
import importlib.util
import types

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged.model.conversion import source_location
from tests.model.conversion.example_networks import Functional, Loops, SharedModule
from tests.model.conversion.rewritten_networks import (
    ArgumentNamedSelf,
    ArgumentWithEffect,
    CallsOverSeveralLines,
    ConditionalSlope,
    CountedArguments,
    FunctionAsParameter,
    FunctionOfCall,
    IgnoredByTorchScript,
    InPlaceOfModule,
    LiteralSlopes,
    LocalFunction,
    LoopOverSelf,
    NamesItsClass,
    OnlyUnderscores,
    PrivateActivation,
    PrivateActivationOfBase,
    SlopeAsDefault,
    SlopeOfCall,
    SlopeOfParameter,
    SpecialMethod,
    UnpackedArguments,
)

ROWS = torch.randn(8, 4)
MAPS = torch.randn(8, 3, 5, 5)


def import_file(path, text):
    """Write a file and import it."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def without_columns(monkeypatch):
    """Locate calls by line only, as before Python 3.11."""
    span = source_location._span
    monkeypatch.setattr(source_location, "_span", lambda frame: (span(frame)[0], None, None, None))


@pytest.mark.parametrize("make, x", [(Functional, MAPS), (Loops, torch.randn(8, 4))])
def test_a_call_is_found_by_its_line(request, make, x):
    model = make().eval()
    expected = [site.name for site in hinged.sites(model, x).converted]
    before = model(x)
    request.getfixturevalue("without_columns")
    assert [site.name for site in hinged.sites(model, x).converted] == expected
    hinged.convert(model, x, hinges=65)
    assert torch.allclose(model(x), before, atol=0.01)


@pytest.mark.usefixtures("without_columns")
def test_two_calls_of_one_name_in_one_line_stay():
    model = SharedModule().eval()
    before = model(MAPS)
    skipped = hinged.sites(model, MAPS).skipped
    assert len(skipped) == 2 and all("contains 2 calls" in site.skipped for site in skipped)
    hinged.convert(model, MAPS)
    assert torch.equal(model(MAPS), before)


CHANGING = """
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 2)

    def forward(self, x):
        x = self.line(x) - x
        add = lambda y: y + x
        for size in (1, 2) if len(x) < 9 else ():
            x = add(x)
        return x.relu()
"""


@pytest.mark.parametrize(
    "old, new",
    [
        ("self.line(x) - x", "self.line(x) + x"),  # The names, constants and lines are the same.
        ("y + x", "y * x"),  # In a nested function.
        ("len(x) < 9", "len(x) > 9"),
        ("(1, 2) if", "(2, 1) if"),
        ("self.line(x) - x", "x - self.line(x)"),
        ("x = add(x)", "add(x)"),
        ("self.line(x) - x", "2 * self.line(x)"),
    ],
)
def test_a_source_file_that_changed_after_the_import_is_not_used(tmp_path, old, new):
    file = tmp_path / "changing.py"
    model = import_file(file, CHANGING).Model()
    (site,) = hinged.sites(model, torch.randn(4, 2))
    assert not site.skipped
    file.write_text(CHANGING.replace(old, new))
    model = import_file_without_running(file, CHANGING).Model()
    (site,) = hinged.sites(model, torch.randn(4, 2))
    assert site.skipped == "the source code of Model.forward differs from the running code"


def import_file_without_running(path, text):
    """Return a module whose code is `text`, although the file at `path` has other text."""
    names = {"__name__": "changing"}
    exec(compile(text, str(path), "exec"), names)
    return types.SimpleNamespace(**names)


@pytest.mark.parametrize("make", [CallsOverSeveralLines, NamesItsClass, IgnoredByTorchScript])
def test_unusual_but_unchanged_sources_are_rewritten(make):
    model = make()
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model)] == ["hinged.relu_1"]
    assert torch.equal(model(ROWS), before)


@pytest.mark.parametrize("make", [PrivateActivation, PrivateActivationOfBase, OnlyUnderscores])
def test_private_names_are_called_twice(make):
    model = make()
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert len(hinged.sites(model).converted) == 2
    assert torch.equal(model(ROWS), before)
    assert torch.equal(copy.deepcopy(model)(ROWS), before)


VARYING = [
    ConditionalSlope,
    SlopeOfCall,
    SlopeAsDefault,
    UnpackedArguments,
    CountedArguments,
    SlopeOfParameter,
    ArgumentWithEffect,
]


@pytest.mark.parametrize("make", VARYING)
def test_arguments_that_can_vary_keep_the_activation(make):
    model = make()
    before = model(ROWS)
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    assert all("can have another value later" in site.skipped for site in hinged.sites(model, ROWS))
    model.calls = 0
    assert torch.equal(model(ROWS), before)
    model.slope = 0.9
    other = type(model)().copy_of(model)
    assert torch.equal(model(-ROWS), other(-ROWS))


@pytest.mark.parametrize(
    "make, reason",
    [
        (ArgumentNamedSelf, "uses 'self' for other objects too"),
        (LoopOverSelf, "is called in forward"),
        (SpecialMethod, "Python takes __getitem__ from the class"),
    ],
)
def test_a_method_that_does_not_show_its_module_stays(make, reason):
    model = make()
    before = model(ROWS)
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    assert all(reason in site.skipped for site in hinged.sites(model, ROWS))
    assert torch.equal(model(ROWS), before)


@pytest.mark.parametrize("make", [LiteralSlopes, InPlaceOfModule])
def test_constant_arguments_and_inplace_are_replaced(make):
    model = make()
    before = model(ROWS.clone())
    hinged.convert(model, ROWS)
    assert not hinged.sites(model).skipped
    assert torch.allclose(model(ROWS.clone()), before)


@pytest.mark.parametrize("make", [FunctionAsParameter, LocalFunction, FunctionOfCall])
def test_a_function_that_can_change_is_compared_at_each_call(make):
    model = make()
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert not hinged.sites(model).skipped
    assert torch.equal(model(ROWS), before)
    calls = model.calls
    assert torch.equal(model(ROWS, "tanh"), model.last(ROWS).tanh())
    assert model.calls == calls + 1


def test_a_call_without_source_is_skipped():
    names = {"nn": nn, "__name__": "nowhere"}
    exec(
        "class Model(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.line = nn.Linear(2, 2)\n"
        "    def forward(self, x):\n"
        "        return self.line(x).relu()\n",
        names,
    )
    (site,) = hinged.sites(names["Model"](), torch.randn(4, 2))
    assert site.skipped == "the source code of Model.forward is not available"


def test_tracebacks_show_the_lines_of_the_source():
    model = hinged.convert(Functional(), MAPS)
    with pytest.raises(RuntimeError) as raised:
        model(torch.randn(8, 7, 5, 5))
    shown = "".join(map(str, raised.traceback))
    assert "example_networks.py" in shown


def test_instances_of_one_class_share_their_code():
    models = [hinged.convert(SharedModule(), MAPS) for _ in range(2)]
    assert models[0].forward.__code__ is models[1].forward.__code__


class Patched(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.line(x))

    def last(self, x):
        return torch.relu(x)


class PatchedBelow(Patched):
    pass


def steep_forward(self, x):
    return nn.functional.leaky_relu(self.line(x), 0.3)


def steep_last(_, x):
    return nn.functional.leaky_relu(x, 0.2)


@pytest.mark.parametrize("make", [Patched, PatchedBelow])
@pytest.mark.parametrize("name, patch", [("forward", steep_forward), ("last", steep_last)])
def test_a_class_that_gets_another_method_later(make, name, patch, monkeypatch):
    early = hinged.convert(make(), ROWS)
    before = early(ROWS)
    monkeypatch.setattr(Patched, name, patch)
    model = make()
    expected = model(ROWS)
    hinged.convert(model, ROWS)
    assert [site.activation for site in hinged.sites(model).converted] == [
        f"LeakyReLU(negative_slope={0.3 if name == 'forward' else 0.2})"
    ]
    assert torch.allclose(model(ROWS), expected)
    if name == "last":  # The early model has curves in place of the old method.
        assert torch.equal(early(ROWS), before)
        assert torch.equal(copy.deepcopy(early)(ROWS), before)
