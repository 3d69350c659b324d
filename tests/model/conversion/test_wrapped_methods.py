"""Tests that wrappers of methods stay: decorators, and what a user sets on the instance."""

import copy
import inspect
import io

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from tests.model.conversion import wrapped_networks as wrapped

ROWS = torch.randn(8, 4)
WRAPPERS = [
    wrapped.lambda_around,
    wrapped.global_variable,
    wrapped.two_wrappers,
    wrapped.mixed_precision,
    wrapped.hooked,
    wrapped.own_function,
]


def randomise_curves(model):
    for layer in model.modules():
        if isinstance(layer, hinged.PiecewiseLinear):
            nn.init.normal_(layer.values)


def run(model):
    """Return the output of a model, and the wrappers that it has called."""
    wrapped.CALLS.clear()
    with torch.no_grad():
        return model(ROWS), list(wrapped.CALLS)


def check_conversion(model):
    """Convert a model, and check that it calls curves and its wrappers, in copies too."""
    before, calls = run(model)
    attributes = dict(vars(model))
    hinged.convert(model, ROWS)
    assert not hinged.sites(model).skipped
    after, calls_after = run(model)
    assert torch.equal(after, before) and calls_after == calls
    copied = copy.deepcopy(model)
    assert torch.equal(run(copied)[0], before)
    randomise_curves(model)
    assert not torch.allclose(run(model)[0], before, atol=1e-2)
    assert torch.equal(run(copied)[0], before) and run(copied)[1] == calls
    randomise_curves(copied)
    assert not torch.equal(run(copied)[0], run(model)[0])
    hinged.revert(model)
    assert vars(model) == attributes
    assert all(vars(model)[name] is value for name, value in attributes.items())
    assert torch.equal(run(model)[0], before)


@pytest.mark.parametrize(
    "make",
    [wrapped.WithoutName, wrapped.Stacked, wrapped.DecoratedStep, wrapped.InheritedDecorator],
)
def test_methods_with_decorators_are_rewritten_inside(make):
    check_conversion(make())


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_of_the_instance_stay(wrap):
    model = wrapped.Plain()
    wrap(model)
    check_conversion(model)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_of_a_child_stay(wrap):
    model = nn.Sequential(wrapped.Plain(), nn.ReLU(), wrapped.WithoutName())
    wrap(model[0])
    wrap(model[2])
    check_conversion(model)


def same(one, other):
    """Return whether two models had the same output, and called the same wrappers."""
    return torch.equal(one[0], other[0]) and one[1] == other[1]


@pytest.mark.parametrize("act", [nn.ReLU(), nn.LeakyReLU(0.25), nn.Hardtanh(-0.5, 0.75)])
@pytest.mark.parametrize(
    "wrap", [wrapped.lambda_around, wrapped.two_wrappers, wrapped.hooked, wrapped.global_variable]
)
def test_wrappers_of_an_activation_module_stay(wrap, act):
    model = wrapped.WithModule(copy.deepcopy(act))
    wrap(model.act)
    attributes = dict(vars(model.act))
    check_conversion(model)
    assert vars(model.act) == attributes


def test_a_wrapper_of_a_module_with_many_steps_stays_with_a_reason():
    class Swish(nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x)

    model = nn.Sequential(nn.Linear(4, 4), Swish(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    wrapped.lambda_around(model[1])
    before, own = run(model)[0], model[1].forward
    hinged.convert(model, ROWS, activations=[Swish])
    assert model[1].forward is own and torch.equal(run(model)[0], before)
    assert [site.name for site in hinged.sites(model).converted] == ["3"]
    (site,) = hinged.sites(model).skipped
    assert "has its own attribute 'forward'" in site.skipped


@pytest.mark.parametrize("make", [wrapped.Plain, wrapped.WithoutName, wrapped.Stacked])
@pytest.mark.parametrize(
    "wrap",
    [wrapped.lambda_around, wrapped.two_wrappers, wrapped.hooked, wrapped.mixed_precision],
)
def test_a_wrapper_around_a_converted_model_outlives_revert(wrap, make):
    model, twin = make(), make()
    twin.load_state_dict(model.state_dict())
    hinged.convert(model, ROWS)
    wrap(model)
    wrap(twin)
    assert same(run(model), run(twin))
    hinged.revert(model)
    assert same(run(model), run(twin))
    assert not any(isinstance(each, hinged.PiecewiseLinear) for each in model.modules())


@pytest.mark.parametrize(
    "wrap, count", [(wrapped.own_function_around, 1), (wrapped.of_another_model, 1)]
)
def test_outputs_stay_if_only_a_part_can_be_rewritten(wrap, count):
    model = wrapped.Plain()
    wrap(model)
    before, attributes = run(model)[0], dict(vars(model))
    hinged.convert(model, ROWS)
    assert len(hinged.sites(model).converted) == count
    assert len(hinged.sites(model).skipped) == 1
    assert torch.equal(run(model)[0], before)
    randomise_curves(model)
    assert not torch.allclose(run(model)[0], before, atol=1e-2)
    assert vars(hinged.revert(model)) == attributes


def test_a_second_conversion_keeps_the_first():
    model = wrapped.Plain()
    wrapped.own_function(model)
    before, attributes = run(model)[0], dict(vars(model))
    hinged.convert(model, ROWS, where=lambda site: site.name.endswith("_2"))
    hinged.convert(model, ROWS)
    assert len(model.hinged) == 2
    assert torch.equal(run(model)[0], before)
    assert vars(hinged.revert(model)) == attributes


@pytest.mark.parametrize("make", [wrapped.WithoutName, wrapped.Stacked, wrapped.DecoratedStep])
def test_methods_with_decorators_are_rewritten_in_files(make):
    model = hinged.convert(make(), ROWS)
    randomise_curves(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(run(loaded)[0], run(model)[0])


@pytest.mark.parametrize(
    "wrap", [wrapped.opaque, wrapped.cached, wrapped.rebinding, wrapped.through_the_class]
)
def test_a_wrapper_that_cannot_be_copied_stays_with_a_reason(wrap):
    model = wrapped.Plain()
    wrap(model)
    before, attributes = run(model)[0], dict(vars(model))
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    assert vars(model) == attributes
    assert torch.equal(run(model)[0], before)
    (site,) = hinged.sites(model, ROWS)
    assert "has its own attribute 'forward'" in site.skipped


@pytest.mark.parametrize("make", [wrapped.Plain, wrapped.Stacked, wrapped.DecoratedStep])
def test_the_signature_is_that_of_the_wrapper(make):
    model = make()
    before = inspect.signature(model.forward)
    hinged.convert(model, ROWS)
    assert inspect.signature(model.forward) == before


def test_a_prepared_model_can_be_unwrapped_as_accelerate_does():
    model = wrapped.Plain()
    wrapped.mixed_precision(model)
    hinged.convert(model, ROWS)
    randomise_curves(model)
    with torch.no_grad():
        expected = model.hinged.relu_1(model.line(ROWS))
    forward = model.forward
    while getattr(forward, "__wrapped__", None) is not None:
        forward = forward.__wrapped__
    assert torch.equal(forward(model, ROWS), expected)
