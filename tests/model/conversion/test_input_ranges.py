"""Tests of activations whose inputs hardly vary when the model is converted."""

import pytest
import torch
from torch import nn

import hinged


def untrained(depth=10):
    """Return a network whose BatchNorm layers have no statistics, so evaluation shrinks tensors."""
    layers = []
    for _ in range(depth):
        linear = nn.Linear(8, 8, bias=False)
        nn.init.normal_(linear.weight, std=0.02)
        layers += [linear, nn.BatchNorm1d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(8, 2))


def test_an_untrained_network_is_converted_in_evaluation_mode_and_trained():
    torch.manual_seed(0)
    model, x = untrained(), torch.randn(64, 8)
    hinged.convert(model.eval(), x)
    last = hinged.sites(model).converted[-1]
    assert last.range[1] - last.range[0] > 1
    assert last.note == "its inputs hardly vary, so their range is not known"
    optimizer = torch.optim.Adam(hinged.param_groups(model.train(), lr=0.01))
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
        loss.backward()
        optimizer.step()
    assert loss < 2 and all(each.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mean, std", [(0.0, 0.0), (5000.0, 0.01), (1.0, 1e-9), (0.0, 1e-7)])
@pytest.mark.parametrize("make", [nn.ReLU, nn.GELU])
def test_inputs_that_hardly_vary_give_distinct_hinges_around_them(dtype, mean, std, make):
    x = (mean + std * torch.randn(64, 4)).to(dtype)
    model = nn.Sequential(make(), nn.Linear(4, 2)).to(dtype)
    hinged.convert(model, x)
    (site,) = hinged.sites(model).converted
    assert site.range[0] <= mean - 1 and site.range[1] >= mean + 1
    assert (model[0].hinges.diff() > 0).all() and model(x).isfinite().all()


def test_a_channel_that_hardly_varies_keeps_its_range():
    x = torch.randn(256, 3) * torch.tensor([1.0, 1e-6, 2.0])
    act = hinged.PiecewiseLinear(3, hinges=9)
    hinged.calibrate(act, x, sharing="channel")
    width = act.hinges[:, -1] - act.hinges[:, 0]
    assert width[1] == 6 and torch.equal(act(x), x.relu())
    assert width[0] < 8 < width[2]
