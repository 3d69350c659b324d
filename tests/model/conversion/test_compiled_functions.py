"""Tests models that call functions which `torch.compile` has compiled."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged
from tests.model.conversion.wrapped_networks import Plain

ROWS = torch.randn(8, 4)
# These warnings come from torch's compiler, not from hinged.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute"),
]


@torch.compile(backend="eager")
def shifted_gelu(x):
    return F.gelu(x + 1)


class CallsFunction(Plain):
    def forward(self, x):
        return F.relu(shifted_gelu(self.line(x)))


class CompiledStep(Plain):
    def forward(self, x):
        return F.relu(self.step(x))

    @torch.compile(backend="eager")
    def step(self, x):
        return F.silu(self.line(x))


def compiled_forward():
    model = nn.Sequential(Plain(), nn.ReLU())
    model[0].forward = torch.compile(model[0].forward, backend="eager")
    return model


@pytest.mark.parametrize("make", [CallsFunction, CompiledStep, compiled_forward])
def test_the_compiler_does_not_see_the_survey(make, monkeypatch):
    model = make()
    before = model(ROWS)
    compiled = []
    monkeypatch.setattr(
        torch._dynamo.convert_frame, "compile_frame", lambda *a, **k: compiled.append(a)
    )
    hinged.convert(model, ROWS)
    assert not compiled
    monkeypatch.undo()
    converted, skipped = hinged.sites(model).converted, hinged.sites(model).skipped
    assert len(converted) == len(skipped) == 1
    assert torch.equal(model(ROWS), before)
