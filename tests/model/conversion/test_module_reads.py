"""Tests that curve layers answer for the modules they replace, or leave them in place."""

import builtins
import copy
import io
import threading
import time

import pytest
import torch

import hinged
from tests.model.conversion import reading_networks as reading

ROWS = torch.randn(8, 4)


@pytest.mark.parametrize(
    "make", [reading.ReadsSlope, reading.ReadsOwnSetting, reading.TestsOtherClasses]
)
def test_a_curve_layer_has_the_settings_of_the_module(make):
    model = make().eval()
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model).converted] == ["act", "other"]
    assert torch.allclose(model(ROWS), before)
    assert torch.allclose(copy.deepcopy(model)(ROWS), before)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.allclose(torch.load(file, weights_only=False)(ROWS), before)
    hinged.simplify(model, 0.0)
    assert torch.allclose(model(ROWS), before, atol=1e-5)


@pytest.mark.parametrize(
    "make, names, reason",
    [
        (reading.TestsClass, ["act"], "the model tests whether it is a LeakyReLU"),
        (reading.TestsClassOfLayers, ["layers.1", "layers.3"], "the model tests whether it is a"),
        (reading.ReadsWeight, ["act"], "the model reads its attribute 'weight'"),
        (reading.AsksForWeight, ["act"], "the model reads its attribute 'weight'"),
        (reading.CallsOtherMethod, ["act"], "the model reads its attribute 'is_gated'"),
    ],
)
def test_a_module_that_is_more_than_called_stays(make, names, reason):
    model = make().eval()
    before = model(ROWS)
    modules = dict(model.named_modules())
    hinged.convert(model, ROWS)
    skipped = hinged.sites(model).skipped
    assert [site.name for site in skipped] == names
    assert all(site.skipped.startswith(reason) for site in skipped)
    assert all(model.get_submodule(name) is modules[name] for name in names)
    assert isinstance(model.other, hinged.PiecewiseLinear)
    assert torch.allclose(model(ROWS), before)


@pytest.mark.parametrize("make", [reading.TestsClassInTraining, reading.ReadsWeightInTraining])
def test_a_module_that_only_the_other_mode_tests_stays(make):
    model = make()
    before, act = model(ROWS), model.act
    hinged.convert(model.eval(), ROWS)
    assert model.act is act
    assert "act" in [site.name for site in hinged.sites(model).skipped]
    assert torch.allclose(model.train()(ROWS), before)


@pytest.mark.parametrize(
    "make", [reading.SetsSlope, reading.SetsSlopeOfSharedModule, reading.SetsSlopeBeforeForward]
)
def test_a_module_whose_settings_the_model_changes_stays(make):
    model, twin = make().eval(), make().eval()
    twin.load_state_dict(model.state_dict())
    hinged.convert(model, ROWS)
    skipped = hinged.sites(model).skipped
    assert skipped and all(
        "sets the attribute 'negative_slope'" in each.skipped for each in skipped
    )
    model.slope = twin.slope = 0.8
    assert torch.allclose(model(ROWS), twin(ROWS))


def test_nothing_stays_patched():
    is_instance, set_attribute = builtins.isinstance, torch.nn.Module.__setattr__
    hinged.convert(reading.TestsClass(), ROWS)
    assert builtins.isinstance is is_instance
    assert torch.nn.Module.__setattr__ is set_attribute
    assert "__getattr__" not in vars(hinged.PiecewiseLinear)


class Slow(reading.TestsClass):
    def forward(self, x):
        time.sleep(0.02)
        return super().forward(x)


class ConvertsAnother(reading.TestsClass):
    def forward(self, x):
        with torch.enable_grad():
            hinged.convert(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanhshrink()), ROWS)
        return super().forward(x)


@pytest.mark.parametrize("make", [Slow, ConvertsAnother])
def test_nothing_stays_patched_after_several_conversions_at_the_same_time(make):
    is_instance, set_attribute = builtins.isinstance, torch.nn.Module.__setattr__
    fast_path = torch.backends.mha.get_fastpath_enabled()
    found = []

    def convert(delay):
        time.sleep(delay)
        model = hinged.convert(make(), ROWS)
        found.append([each.skipped for each in hinged.sites(model).skipped if each.name == "act"])

    threads = [threading.Thread(target=convert, args=(0.013 * each,)) for each in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patched = "__getattr__" in vars(hinged.PiecewiseLinear)
    now, builtins.isinstance = builtins.isinstance, is_instance
    now_set, torch.nn.Module.__setattr__ = torch.nn.Module.__setattr__, set_attribute
    assert now is is_instance and now_set is set_attribute and not patched
    assert torch.backends.mha.get_fastpath_enabled() == fast_path
    assert found == [["the model tests whether it is a LeakyReLU"]] * 5


def test_settings_of_a_curve_layer_are_its_own():
    model = reading.ReadsSlope()
    model.act.channels, model.act.inplace = 99, True
    hinged.convert(model, ROWS)
    assert model.act.channels == 4 and model.act.negative_slope == 0.3
