import torch
from torch import nn

import hinged
from hinged.lab import data
from hinged.lab.units import idle_units


def mlp(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), activation, nn.Linear(8, 10))


def test_units_that_never_fire_are_dead():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[1].bias[:3] = -1e6
        model[1].weight[5], model[1].bias[5] = 0.0, 1e-5  # Fires always the same.
    found = idle_units(model, data.load("digits"))
    assert found.dead == 4 / 8 and found.dormant == 4 / 8


def test_a_unit_that_hardly_fires_is_dormant_and_not_dead():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[1].weight[2] *= 1e-3
        model[1].bias[2] = 0.0
    found = idle_units(model, data.load("digits"))
    assert found.dead == 0 and found.dormant == 1 / 8


def test_the_same_units_are_dead_as_diagnose_finds():
    digits = data.load("digits")
    model = mlp(hinged.PiecewiseLinear(8))
    with torch.no_grad():
        model[1].bias[:2] = -1e6
    layer = hinged.diagnose(model.eval(), digits.scaled(digits.x_train)).layers["2"]
    found = idle_units(model, digits)
    assert found.dead == layer.dead.double().mean() == 2 / 8
    assert found.dormant == layer.dormant().double().mean()


def test_channels_of_images_are_units_and_the_mode_is_kept():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 10)
    )
    with torch.no_grad():
        model[1].weight[1] = 0.0
    before = model[1].running_mean.clone()
    assert idle_units(model.train(), data.load("digits")).dead == 1 / 4
    assert model.training and torch.equal(model[1].running_mean, before)


def test_a_network_without_known_activations_has_none():
    assert idle_units(mlp(nn.Identity()), data.load("digits")) is None
