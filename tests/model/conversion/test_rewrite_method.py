import importlib.util

import pytest
import torch
from torch import nn

import hinged
from hinged.model.conversion import source_location
from hinged.model.conversion.rewrite_method import CannotRewriteError, rewrite_method
from tests.model.conversion.example_networks import Functional, Loops, SharedModule

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


def test_a_source_file_that_changed_after_the_import_is_not_used(tmp_path):
    text = """
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 2)

    def forward(self, x):
        return self.line(x).relu()
"""
    file = tmp_path / "changing.py"
    model = import_file(file, text).Model()
    file.write_text(text.replace("self.line(x)", "2 * self.line(x)"))
    (site,) = hinged.sites(model, torch.randn(4, 2))
    assert site.skipped == "the source code of Model.forward differs from the running code"


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


def test_a_name_that_is_not_a_method_is_rejected():
    with pytest.raises(CannotRewriteError, match="nothing is not an ordinary method"):
        rewrite_method(SharedModule, "nothing", ())
