import pytest
import torch
from torch import nn

import hinged
from hinged.lab import data
from hinged.lab.training.dead_units import DeadUnitCounter


def mlp(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), activation, nn.Linear(8, 10))


def dead_unit_shares(model, x, parts=1):
    with DeadUnitCounter(model.eval()) as counter, torch.no_grad():
        for part in x.chunk(parts):
            model(part)
    return counter.shares()


@pytest.fixture
def images():
    digits = data.load_data_set("digits")
    return digits.to_inputs(digits.x_train)


def test_units_with_constant_outputs_are_dead(images):
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[1].bias[:3] = -1e6
        model[1].weight[5], model[1].bias[5] = 0.0, 1e-5  # Its output is constant.
    found = dead_unit_shares(model, images)
    assert found.dead == 4 / 8 and found.dormant == 4 / 8


def test_units_with_small_outputs_are_dormant_and_not_dead(images):
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[1].weight[2] *= 1e-3
        model[1].bias[2] = 0.0
    found = dead_unit_shares(model, images)
    assert found.dead == 0 and found.dormant == 1 / 8


def test_the_shares_agree_with_diagnose(images):
    model = mlp(hinged.PiecewiseLinear(8))
    with torch.no_grad():
        model[1].bias[:2] = -1e6
    layer = hinged.diagnose(model.eval(), images).layers["2"]
    found = dead_unit_shares(model, images)
    assert found.dead == layer.dead.double().mean() == 2 / 8
    assert found.dormant == layer.dormant().double().mean()


def test_channels_of_images_are_units(images):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 10)
    )
    with torch.no_grad():
        model[1].weight[1] = 0.0
    assert dead_unit_shares(model, images).dead == 1 / 4


def test_batches_are_merged_and_calls_of_one_layer_are_separate(images):
    relu = nn.ReLU()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), relu, nn.Linear(6, 6), relu)
    whole = dead_unit_shares(model, images[:900])
    with torch.no_grad():
        model[3].bias[:2] = -1e6
    less = dead_unit_shares(model, images[:900])
    assert less.dead == whole.dead + 2 / 12
    for parts in (2, 7):
        assert dead_unit_shares(model, images[:900], parts) == pytest.approx(less, abs=1e-12)


def test_observation_ends_after_a_thousand_samples():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].weight[:, 0] = 1.0
        model[1].bias.zero_()
    silent, loud = torch.zeros(1200, 8, 8), torch.ones(400, 8, 8)
    assert dead_unit_shares(model, torch.cat((silent, loud)), 8).dead == 1
    assert dead_unit_shares(model, torch.cat((silent[:800], loud)), 6).dead == 0


class Routed(nn.Module):
    """Calls one layer only for batches with bright samples, and one whose number of channels is
    the number of samples."""

    def __init__(self):
        super().__init__()
        self.always, self.sometimes, self.rows = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        x = self.always(x.flatten(1))
        if x.max() > 1:
            x = self.sometimes(x)
        return self.rows(x[None])[0]


def test_layers_called_for_some_batches_or_with_changing_widths():
    x = torch.ones(7, 4)
    x[4:] = 2.0
    found = dead_unit_shares(Routed(), x, 2)
    assert found.dead == 4 / 8, "`sometimes` saw one value; `rows` is left out"


def test_hooks_are_removed(images):
    model = mlp(nn.ReLU())
    dead_unit_shares(model, images)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_network_without_known_activations_has_no_shares(images):
    assert dead_unit_shares(mlp(nn.Identity()), images) is None
