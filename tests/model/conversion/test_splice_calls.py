import importlib.util
import re

import pytest
import torch
from torch import nn

import hinged
from hinged.model.conversion import call_site as place
from hinged.model.conversion.splice_calls import CannotRewriteError, rewrite
from tests.model.activated import Functional, Looped, OneForAll

MAPS = torch.randn(8, 3, 5, 5)


def imported(path, text):
    """Return the module that a file of this text is."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "make, x", [(Functional, MAPS), (OneForAll, MAPS), (Looped, torch.randn(8, 4))]
)
def test_lines_alone_will_do_where_python_knows_no_columns(monkeypatch, make, x):
    """As before Python 3.11."""
    model = make().eval()
    expected = [site.name for site in hinged.sites(model, x).converted]
    before = model(x)
    lines = place._position
    monkeypatch.setattr(place, "_position", lambda frame: (lines(frame)[0], None, None, None))
    found = hinged.sites(model, x)
    if make is OneForAll:  # Two calls of one name in a line.
        assert "line" in found.skipped[0].skipped and len(found.skipped) == 2
        hinged.convert(model, x)
        assert torch.equal(model(x), before)
        return
    assert [site.name for site in found.converted] == expected
    hinged.convert(model, x, hinges=65)
    assert torch.allclose(model(x), before, atol=0.01)


def test_a_source_that_was_changed_since_is_not_used(tmp_path):
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
    model = imported(file, text).Model()
    file.write_text(text.replace("self.line(x)", "2 * self.line(x)"))
    (site,) = hinged.sites(model, torch.randn(4, 2))
    assert site.skipped == "the source of Model.forward is not what is running"


def test_without_a_source_the_call_is_left_alone():
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
    assert site.skipped == "the source of Model.forward is not to be had"


def test_tracebacks_show_the_lines_of_the_source():
    model = hinged.convert(Functional(), MAPS)
    with pytest.raises(RuntimeError) as raised:
        model(torch.randn(8, 7, 5, 5))
    shown = "".join(map(str, raised.traceback))
    assert re.search(r"activated\.py'?:\d+", shown) or "activated.py" in shown


def test_instances_of_one_class_share_their_code():
    models = [hinged.convert(OneForAll(), MAPS) for _ in range(2)]
    assert models[0].forward.__code__ is models[1].forward.__code__


def test_methods_that_cannot_be_rewritten():
    with pytest.raises(CannotRewriteError, match="nothing is no plain method"):
        rewrite(OneForAll, "nothing", ())
