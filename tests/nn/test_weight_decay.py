"""Weight decay of curves, and curves that another package freezes, do not pass silently."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors


def network():
    return nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4), nn.Linear(4, 1))


def step(model, optimizer):
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    "make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-4)]
)
@pytest.mark.parametrize(
    "change", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_decay_of_curves_is_said_once(make, change):
    model = change(network())
    optimizer = make(model.parameters())
    with pytest.warns(errors.DecayedCurvesWarning, match="the curves of 1 layer; it pulls"):
        step(model, optimizer)
    step(model, optimizer)


@pytest.mark.parametrize(
    "groups",
    [
        lambda model: hinged.param_groups(model, 0.01, weight_decay=0.1),
        lambda model: hinged.param_groups(model, 0.01, weight_decay=0.1, smoothing=None),
        lambda model: model[0].parameters(),
        lambda model: nn.Linear(3, 4).parameters(),
    ],
)
def test_other_optimizers_are_right(groups):
    model = network()
    step(model, torch.optim.AdamW(groups(model)))
    step(model, torch.optim.Adam(model.parameters()))
    model[1].requires_grad_(False)
    step(model, torch.optim.AdamW(model.parameters()))


def test_frozen_curves_are_listed():
    model = hinged.convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), torch.randn(5, 3))
    assert hinged.sites(model)[0].note == ""
    model.requires_grad_(False)
    assert hinged.sites(model)[0].note == "frozen"


@pytest.fixture
def peft_model():
    class Stand(nn.Module):
        """Stands for a class of peft."""

        def __init__(self, model):
            super().__init__()
            self.model = model.requires_grad_(False)
            self.lora_A = nn.Linear(3, 1)

    Stand.__module__ = "peft.tuners.lora"
    return Stand


def test_curves_that_peft_freezes_are_said(peft_model):
    model = peft_model(network())
    with pytest.warns(errors.FrozenCurvesWarning, match="name their layers in modules_to_save"):
        hinged.param_groups(model, 0.01)
    model.model[1].requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(hinged.param_groups(model, 0.01)) == 2
    frozen = network()
    frozen[1].requires_grad_(False)
    assert len(hinged.param_groups(frozen, 0.01)) == 1


def test_lora_with_curves():
    peft = pytest.importorskip("peft")
    data = torch.randn(5, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    hinged.convert(model, data)
    config = peft.LoraConfig(target_modules=["0"], r=2, modules_to_save=["1"])
    model = peft.get_peft_model(model, config)
    assert {group["name"] for group in hinged.param_groups(model, 0.01)} == {"weights", "curves"}
