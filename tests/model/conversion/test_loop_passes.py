"""The passes of a loop have one curve, unless different layers compute their inputs."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged
from hinged import errors

STEPS = torch.randn(3, 5, 4)  # 3 sequences of 5 steps with 4 features.
ROWS = torch.randn(8, 4)


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.norm, self.act = nn.LayerNorm(6), nn.ReLU()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])


class Recurrent(Loop):
    def forward(self, x):
        h = torch.zeros(len(x), 6)
        for step in x.unbind(1):
            h = torch.tanh(self.first(step) + self.second(h))
        return self.head(h)


class RecurrentWithoutStart(Loop):
    def forward(self, x):
        h = None
        for t in range(x.shape[1]):
            inner = self.first(x[:, t])
            h = self.act(inner if h is None else inner + self.second(h))
        return self.head(h)


class ChunkedRows(Loop):
    def forward(self, x):
        return torch.cat([self.head(self.first(part).relu()) for part in x.split(2)])


class Levels(Loop):
    def forward(self, x):
        levels = (x, x[:, :2], x[:, :1])
        return sum(self.head(F.gelu(self.first(level))).mean(1) for level in levels)


class Repeated(Loop):
    """Steps that apply the same layer again, as an implicit layer or a sampler."""

    def forward(self, x):
        x = self.first(x)
        for _ in range(x.shape[1] if x.dim() == 3 else 4):
            x = x + self.second(F.relu(x))
        return self.head(x)


class VariableFunction(Loop):
    def forward(self, x):
        act = F.silu
        for step in x.unbind(1):
            y = act(self.first(step))
        return self.head(y)


@pytest.mark.parametrize(
    ("make", "x", "name"),
    [
        (Recurrent, STEPS, "hinged.tanh_1"),
        (RecurrentWithoutStart, STEPS, "act"),
        (ChunkedRows, ROWS, "hinged.relu_1"),
        (ChunkedRows, [ROWS[:2], ROWS], "hinged.relu_1"),
        (Levels, STEPS, "hinged.gelu_1"),
        (Repeated, STEPS, "hinged.relu_1"),
        (VariableFunction, STEPS, "hinged.silu_1.0"),
    ],
)
def test_passes_that_the_same_layers_feed_have_one_curve(make, x, name):
    model = make()
    longer = torch.randn(3, 9, 4) if x is STEPS else torch.randn(40, 4)
    before = model(longer)
    hinged.convert(model, x, hinges=65, spread=6.0)
    (site,) = hinged.sites(model)
    assert site.name == name and site.channels == 6 and not site.skipped
    assert torch.allclose(model(longer), before, atol=0.01)
    seen = []
    layer = model.get_submodule(name)
    layer.register_forward_hook(lambda layer, args, y: seen.append(y.shape[0]))
    model(longer)
    expected = {Levels: 3, Repeated: 9, ChunkedRows: 20}.get(make, 9)
    assert len(seen) == expected  # Also passes that the conversion has not seen.
    assert torch.equal(hinged.revert(model)(longer), before)


class Layers(Loop):
    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class SharedNorm(Loop):
    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = self.act(self.norm(layer(x)))
        return x


class BeforeLayers(Loop):
    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = x + layer(x.relu())
        return x


@pytest.mark.parametrize("make", [Layers, SharedNorm, BeforeLayers])
def test_passes_that_different_layers_feed_have_a_curve_each(make):
    model = hinged.convert(make(), ROWS)
    assert len(hinged.sites(model).converted) == 3


class SomeLayers(Loop):
    """Executes some of its layers, as a mixture of experts does."""

    def forward(self, x):
        chosen = [layer for i, layer in enumerate(self.layers) if (x[:, i] > 0).any()]
        return sum(F.relu(layer(self.first(x))) for layer in chosen)


def test_passes_whose_layers_change_have_one_curve():
    x = torch.tensor([[1.0, 1.0, -1.0, 0.0], [1.0, -1.0, 1.0, 0.0]])
    model = hinged.convert(SomeLayers(), [x[:1], x[1:]])
    (site,) = hinged.sites(model)
    assert site.name == "hinged.relu_1"
    assert torch.equal(hinged.revert(model)(x), model(x))


class LastPassStays(nn.Module):
    """A loop over layers whose last pass is the output of the model, or is not converted."""

    def __init__(self, function):
        super().__init__()
        self.lines, self.function = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), function

    def forward(self, x):
        for line in self.lines:
            x = self.function(line(x))
        return x


@pytest.mark.parametrize("function", [torch.sigmoid, torch.tanh])
def test_a_last_pass_that_stays_causes_no_warning(function):
    model = hinged.convert(LastPassStays(function), torch.randn(8, 4))
    assert len(hinged.sites(model).converted) == 2 and len(hinged.sites(model).skipped) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(torch.randn(5, 4))
    model.lines.append(nn.Linear(4, 4))
    with pytest.warns(errors.MorePassesWarning, match="more passes than the 3"):
        model(torch.randn(5, 4))


def test_a_last_pass_that_where_leaves_out_causes_no_warning():
    model, x = LastPassStays(torch.relu), torch.randn(8, 4)
    hinged.convert(model, x, where=lambda site: not site.name.endswith("2"))
    assert len(hinged.sites(model).converted) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(x)


@pytest.mark.parametrize("kept", ["0", "1", "2"])
def test_hooks_run_in_a_pass_without_a_curve_too(kept):
    model, x = LastPassStays(nn.ReLU()), torch.randn(8, 4)
    model.function.register_forward_pre_hook(lambda module, args: (args[0] + 0.5,))
    before = model(x)
    hinged.convert(model, x, where=lambda site: not site.name.endswith(kept))
    assert len(hinged.sites(model).converted) == 2
    torch.testing.assert_close(model(x), before)
