"""Tests of calls whose activation or whose arguments somebody can change after the conversion."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged
from hinged import errors

ROWS = torch.randn(8, 4)
GLOBAL_SLOPE = 0.1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act, self.low, self.slope = nn.LeakyReLU(0.2), -0.5, 0.3
        self.function = F.relu

    def forward(self, x):
        return self.second(self.activate(self.first(x)))


class SharedModule(Net):
    def activate(self, x):
        return self.act(self.second(self.act(x)))


class HardtanhByForward(Net):
    def __init__(self):
        super().__init__()
        self.act = nn.Hardtanh(-0.5, 0.5)

    def activate(self, x):
        return self.act.forward(x)


class FunctionOfModule(Net):
    def activate(self, x):
        return self.function(x)


class SlopeOfModule(Net):
    def activate(self, x):
        return F.leaky_relu(x, negative_slope=self.slope)


class SlopeInLoop(Net):
    def activate(self, x):
        for layer in (self.first, self.second):
            x = F.leaky_relu(layer(x), self.slope)
        return x


class SlopeOfNestedCalls(Net):
    def activate(self, x):
        return F.leaky_relu(self.second(F.leaky_relu(x, self.slope)), self.slope)


class LimitOfMethod(Net):
    def activate(self, x):
        return x.clamp(self.low, 0.5)


class GlobalSlope(Net):
    def activate(self, x):
        return F.leaky_relu(x, GLOBAL_SLOPE)


CHANGES = [
    (SharedModule, "act", nn.Tanh()),
    (SharedModule, "act.negative_slope", 0.9),
    (HardtanhByForward, "act.max_val", 0.1),
    (FunctionOfModule, "function", torch.tanh),
    (SlopeOfModule, "slope", 0.9),
    (SlopeInLoop, "slope", 0.9),
    (SlopeOfNestedCalls, "slope", 0.9),
    (LimitOfMethod, "low", -0.1),
]


def converted(make):
    """Return a converted network with exact curves, and the same network without curves."""
    model = make()
    twin = copy.deepcopy(model)
    return hinged.convert(model, ROWS, activations=[torch.clamp]), twin


def set_attribute(model, name, value):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, value)


@pytest.mark.parametrize("make", [*dict.fromkeys(make for make, _, _ in CHANGES), GlobalSlope])
def test_constant_attributes_are_replaced(make):
    model, twin = converted(make)
    assert len(hinged.sites(model)) > 0 and not hinged.sites(model).skipped
    assert torch.allclose(model(ROWS), twin(ROWS), atol=1e-6)


@pytest.mark.parametrize("make, name, value", CHANGES)
def test_what_changes_later_is_applied_without_a_curve(make, name, value):
    model, twin = converted(make)
    set_attribute(model, name, value)
    set_attribute(twin, name, value)
    expected = twin(ROWS)
    with pytest.warns(errors.ChangedActivationWarning, match="without a curve"):
        assert torch.equal(model(ROWS), expected)
    hinged.revert(model)
    assert torch.equal(model(ROWS), expected)


def test_a_changed_activation_gets_another_curve():
    model, twin = converted(SharedModule)
    model.act = twin.act = nn.Hardtanh()
    with pytest.warns(errors.ChangedActivationWarning):
        hinged.convert(model, ROWS)
    assert [site.activation for site in hinged.sites(model).converted[-2:]] == 2 * [str(twin.act)]
    assert torch.allclose(model(ROWS), twin(ROWS), atol=1e-6)


@pytest.mark.parametrize("make", [SharedModule, FunctionOfModule, SlopeOfNestedCalls])
def test_copies_have_the_curves_of_their_own(make):
    model, twin = converted(make)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for copied in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        for layer in copied.modules():
            if isinstance(layer, hinged.PiecewiseLinear):
                nn.init.zeros_(layer.values)
        bias = copied.second.bias.expand(8, 4)
        assert torch.equal(copied(ROWS), bias)
    assert torch.allclose(model(ROWS), twin(ROWS), atol=1e-6)


class SetsSlope(Net):
    def activate(self, x):
        self.slope = 0.3
        return F.leaky_relu(x, self.slope).relu()


class ChangesSlope(Net):
    """The slope has another value than before the forward pass."""

    def activate(self, x):
        vars(self)["slope"] *= 2
        return F.leaky_relu(x, self.slope)


class PrivateSlope(Net):
    def __init__(self):
        super().__init__()
        self.__slope = 0.1

    def activate(self, x):
        return F.leaky_relu(x, self.__slope)


class SlopeOfLocalName(Net):
    def activate(self, x):
        slope = self.slope
        return F.leaky_relu(x, slope)


class InfiniteLimit(Net):
    def __init__(self):
        super().__init__()
        self.low = -float("inf")

    def activate(self, x):
        return F.hardtanh(x, self.low, 0.5)


@pytest.mark.parametrize(
    "make, reason",
    [
        (ChangesSlope, "its argument self.slope can have another value later"),
        (PrivateSlope, "its argument self.__slope can have another value later"),
        (SlopeOfLocalName, "its argument slope can have another value later"),
        (InfiniteLimit, "its argument self.low can have another value later"),
    ],
)
def test_arguments_that_may_not_be_constant_stay(make, reason):
    model = make()
    expected = copy.deepcopy(model)(ROWS)
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    (site,) = hinged.sites(model, ROWS)
    assert site.skipped.startswith(reason)
    assert torch.equal(model(ROWS), expected)


def test_an_argument_that_the_model_sets_stays():
    model = hinged.convert(SetsSlope(), ROWS)
    (site,) = hinged.sites(model).skipped
    assert site.skipped == "the model sets the attribute 'slope', on which it depends"
