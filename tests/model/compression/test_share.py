import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear


def test_channels_within_the_tolerance_become_one_curve():
    layer = PiecewiseLinear(6, dim=-1)
    with torch.no_grad():
        layer.values += 0.02 * (torch.rand_like(layer.values) - 0.5)
    x = torch.randn(50, 5, 6).clamp(-2.9, 2.9)
    before = layer(x).detach()
    done = hinged.share(layer, 0.011).layers[""]
    assert layer.channels == 1 and layer.values.shape == (1, 9)
    assert done.curves == (6, 1) and done.parameters == (54, 9) and not done.reason
    assert 0 < (layer(x) - before).abs().max().item() <= done.error <= 0.011 + 1e-6
    assert layer.state_dict()["values"].shape == (1, 9)


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_the_result_says_how_far_curves_change_outside_of_the_range(tails):
    layer = PiecewiseLinear(6, tails=tails, range=(-1, 3), dim=-1)
    with torch.no_grad():
        layer.values += 0.02 * (torch.rand_like(layer.values) - 0.5)
    x = torch.tensor([-5.0, 7.0])[:, None].expand(2, 6)  # At one width below and above.
    before = layer(x).detach()
    done = hinged.share(layer, 0.02).layers[""]
    assert (layer(x) - before).abs().max().item() == pytest.approx(done.error_outside, rel=1e-4)
    if tails == "linear":
        assert done.error_outside > 3 * done.error


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_channels_of_a_group_get_the_same_values_in_the_old_parameter(tails):
    layer = PiecewiseLinear(5, tails=tails)
    with torch.no_grad():
        layer.values[2:] += 1.0
        layer.values += 0.01 * torch.rand_like(layer.values)
    values, old = layer.values, layer.values.detach().clone()
    model = nn.Sequential(nn.Linear(3, 5), layer)
    done = hinged.share(model, 0.01)
    assert layer.values is values and layer.channels == 5
    assert done.layers["1"].curves == (5, 2)
    assert done.parameters == (values.numel() + (10 if tails == "free" else 0),) * 2
    assert torch.equal(values[0], values[1]) and torch.equal(values[2], values[4])
    assert not torch.equal(values[1], values[2])
    assert (values - old).abs().max().item() == pytest.approx(done.layers["1"].error)


def test_unchanged_layers_have_a_reason():
    different = PiecewiseLinear(2)
    with torch.no_grad():
        different.values[0] += 1
    model = nn.ModuleDict(
        {
            "one": PiecewiseLinear(1),
            "different": different,
            "by_channel": PiecewiseLinear(2, hinges=torch.tensor([[-1.0, 0, 1], [-2, 0, 2]])),
            "same": PiecewiseLinear(2),
        }
    )
    done = hinged.share(model, 0.0)
    assert {name: layer.reason for name, layer in done.layers.items()} == {
        "one": "it has only one curve",
        "different": "no two channels can share a curve within the tolerance",
        "by_channel": "its channels have different hinges",
        "same": "",
    }
    assert model["same"].channels == 1
    assert str(done).splitlines()[-1] == "parameters: 51 before, 42 after (82%)"


def test_a_layer_in_two_places_remains_one():
    layer = PiecewiseLinear(4)
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 4), layer)
    x = torch.randn(9, 4)
    expected = model(x)
    hinged.share(model, 0.0)
    assert model[1] is model[3] and torch.equal(model(x), expected)
