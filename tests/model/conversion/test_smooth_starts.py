"""Converted smooth activations keep the outputs of a network, also where inputs are unusual."""

import copy

import pytest
import torch
from torch import nn

import hinged
from hinged.nn import PiecewiseLinear


class Snake(nn.Module):
    """A user's own smooth activation."""

    def forward(self, x):
        return x + x.sin().square() / 2


SMOOTH = [nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.ELU, nn.CELU, nn.SELU, nn.Softplus]


def wide_channel():
    x = torch.randn(4096, 8)
    x[:, 0] *= 6
    return x


def one_sided():
    return torch.randn(4096, 8).abs() * 3 - 1


def outliers():
    x = torch.randn(4096, 8)
    x[::500] *= 8
    return x


def narrow():
    return 0.1 * torch.randn(4096, 8) + 1


INPUTS = [wide_channel, one_sided, outliers, narrow]


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("more", [{}, {"hinges": 33}, {"tails": "free"}, {"sharing": "layer"}])
def test_the_listed_error_is_that_on_the_inputs(activation, inputs, more):
    x, act = inputs(), activation()
    model = hinged.convert(nn.Sequential(nn.Identity(), copy.deepcopy(act)), x, gates=True, **more)
    (site,) = hinged.sites(model)
    found = (model[1](x) - act(x)).abs().max().item()
    # The inputs are counted in bins, so the listed error can be a little smaller.
    assert found <= 1.1 * site.error + 2e-3 and site.error <= 0.25
    assert isinstance(model[1], PiecewiseLinear)
    assert site.range == (model[1].hinges.min().item(), model[1].hinges.max().item())


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, Snake])
def test_the_outputs_of_a_deep_network_hardly_change(activation):
    layers = []
    for _ in range(10):
        layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), activation()]
    model = nn.Sequential(nn.Conv2d(3, 16, 1), *layers)
    x = torch.randn(8, 3, 12, 12)
    for _ in range(30):  # The running statistics reach those of the data.
        before = model(x)
    model.eval()
    before, activations = model(x), [Snake] if activation is Snake else []
    hinged.convert(model, x, activations=activations)
    change = (model(x) - before).square().mean().sqrt() / before.std()
    assert change < 0.08


def test_a_function_without_values_beyond_the_inputs_keeps_its_fit_to_the_range():
    class Root(nn.Module):
        def forward(self, x):
            return (x + 1.5).sqrt()

    x = torch.rand(4096, 8) * 2 - 1
    model = hinged.convert(nn.Sequential(nn.Identity(), Root()), x, spread=2.0, activations=[Root])
    assert (model[1](x) - Root()(x)).abs().max() < 0.1
