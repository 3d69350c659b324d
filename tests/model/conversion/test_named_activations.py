"""Tests functions in `activations=[...]`."""

import copy
import cProfile
import io
import sys

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from tests.model.conversion import function_networks as own

ROWS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


def layers(model):
    return [each for each in model.modules() if isinstance(each, hinged.PiecewiseLinear)]


@pytest.mark.parametrize(
    "make, functions, shown",
    [
        (own.CallsSine, [torch.sin], ["sin()", "sin()"]),
        (own.CallsWave, [own.wave], ["wave(factor=1.0)"]),
        (own.CallsWaveWithFactor, [own.wave], ["wave(factor=2.0)", "wave(factor=0.5)"]),
        (own.CallsSquaredRelu, [own.squared_relu], ["squared_relu()"]),
        (own.CallsInModule, [own.squared_relu], ["SquaredRelu()"]),
        (own.CallsLambda, [own.bump], ["<lambda>()"]),
        (own.CallsClosure, [own.twice], ["function()"]),
        (own.CallsClosure, [own.thrice, own.twice], ["function()", "function()"]),
        (
            own.Clamps,
            [torch.clamp],
            ["ReLU()", "Hardtanh(min_val=-1.0, max_val=1.5)", "ReLU()"],
        ),
    ],
)
def test_calls_of_named_functions_are_converted(make, functions, shown):
    model = make().eval()
    before = model(ROWS)
    hinged.convert(model, ROWS, hinges=65, spread=5.0, activations=functions)
    converted = [site.activation for site in hinged.sites(model).converted]
    assert converted == shown
    assert torch.allclose(model(ROWS), before, atol=0.05)
    assert torch.equal(copy.deepcopy(model)(ROWS), model(ROWS))
    for layer in layers(model):
        nn.init.normal_(layer.values)
    assert not torch.allclose(model(ROWS), before, atol=0.05)
    assert torch.equal(hinged.revert(model)(ROWS), before)


@pytest.mark.parametrize("make", [own.CallsWaveInLoop, own.Clamps])
def test_converted_models_with_functions_are_saved(make):
    model = hinged.convert(make(), ROWS, activations=[own.wave, torch.clamp])
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(ROWS), model(ROWS))


@pytest.mark.parametrize(
    "make, functions, reason",
    [
        (own.WaveWithVaryingFactor, [own.wave], "can have another value later"),
        (own.WaveOfTwoTensors, [own.wave], ""),
        (own.ClampsWithTensor, [torch.clamp], ""),
        (own.Clamps, [], ""),
        (own.CallsWave, [torch.exp], ""),
    ],
)
def test_calls_that_are_no_activations_stay(make, functions, reason):
    model = make().eval()
    before = model(ROWS)
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS, activations=functions)
    sites = hinged.sites(model, ROWS, activations=functions)
    assert len(sites) == bool(reason) and all(reason in site.skipped for site in sites)
    assert torch.equal(model(ROWS), before)


@pytest.mark.parametrize(
    "wrong, expected",
    [
        (torch.sin, r"a list of functions, for example activations=\[sin\]"),
        (["wave"], "a list of your own activation classes, which are nn.Module, and of functions"),
        ([len], "a list of your own activation classes, which are nn.Module, and of functions"),
    ],
)
def test_what_is_no_activation_is_refused(wrong, expected):
    with pytest.raises(errors.ArgumentError, match=expected):
        hinged.convert(own.CallsWave(), ROWS, activations=wrong)


def test_a_profiler_in_python_goes_on():
    names = set()
    before = sys.getprofile()
    watch = lambda frame, *_: names.add(frame.f_code.co_name)  # noqa: E731
    sys.setprofile(watch)
    try:
        hinged.convert(own.CallsWave(), ROWS, activations=[own.wave])
        assert sys.getprofile() is watch
    finally:
        sys.setprofile(before)
    assert "wave" in names


def test_a_profiler_that_cannot_share_calls_is_named():
    with (
        cProfile.Profile(),
        pytest.raises(errors.ArgumentError, match="the Python function wave while a profiler runs"),
    ):
        hinged.convert(own.CallsWave(), ROWS, activations=[own.wave])


def test_an_error_in_a_function_is_passed_on():
    def broken(x):
        raise KeyError("broken" if x.dim() == 2 else "wrong")

    class Model(own.TwoLayers):
        def forward(self, x):
            return broken(self.first(x))

    with pytest.raises(KeyError, match="broken"):
        hinged.convert(Model(), ROWS, activations=[broken])
    assert "python_calls_watched" not in repr(sys.getprofile())


@pytest.mark.filterwarnings("ignore::hinged.errors.ChangedOutputsWarning")
@pytest.mark.parametrize(
    "make, count",
    [(own.NamedInputOfFunction, 3), (own.NamedInputOfModule, 1), (own.NamedInputOfTorch, 3)],
)
def test_the_input_in_a_loop_can_be_given_by_name(make, count):
    model = make()
    before = model(ROWS)
    hinged.convert(model, ROWS, 33, activations=[own.squared_relu])
    assert len(layers(model)) == count
    error = max(site.error for site in hinged.sites(model).converted)
    assert torch.allclose(model(ROWS), before, atol=10 * error + 1e-6)
    hinged.revert(model)
    assert torch.equal(model(ROWS), before)
