import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import PiecewiseLinear, errors
from hinged.lab.activations import (
    ACTIVATIONS,
    ChannelPReLU,
    activation_parameters,
    replace_activations,
)
from hinged.lab.settings import CurveSettings


class Residual(nn.Module):
    """One ReLU at two places of different widths, one in place, one as a function, one never
    called; maps first, then tokens."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.unused = nn.ReLU()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.wide = nn.Conv2d(4, 7, 1)
        self.last = nn.Linear(7, 6)

    def forward(self, x):
        x = self.act(self.wide(self.act(self.inner(x))))
        return F.relu(self.last(x.flatten(2).transpose(1, 2)))


def factory(name, **settings):
    return ACTIVATIONS[name](CurveSettings(**settings))


def made(name, **settings):
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(5, 3, 4, 4)
    plain = copy.deepcopy(model)
    return replace_activations(model, x, factory(name, **settings)), plain, x


def test_curves_of_the_settings_are_put_at_every_place():
    model, plain, _ = made("hinged", hinges=5, low=-2, high=2, tails="constant")
    layers = [module for module in model.modules() if isinstance(module, PiecewiseLinear)]
    assert sorted(layer.values.shape for layer in layers) == [(4, 5), (4, 5), (6, 5), (7, 5)]
    assert all(layer.hinges.tolist() == [-2, -1, 0, 1, 2] for layer in layers)
    assert all(layer.tails == "constant" for layer in layers)
    assert model.training and model.inner[1].num_batches_tracked == 0
    assert isinstance(model.unused, nn.ReLU)
    assert plain.state_dict().keys() <= model.state_dict().keys()


def test_started_as_relu_it_is_the_network_it_was():
    model, plain, x = made("hinged")
    assert torch.equal(model(x), plain(x))
    shared, plain, x = made("hinged", shared=True)
    assert torch.equal(shared(x), plain(x))
    assert sum(parameter.numel() for parameter in activation_parameters(shared)) == 4 * 9


@pytest.mark.parametrize("name", ["gelu", "leaky_relu", "silu"])
def test_other_activations_are_applied_at_every_place(name):
    class By(Residual):
        def forward(self, x):
            function = getattr(F, name)
            x = function(self.wide(function(function(self.inner[1](self.inner[0](x))))))
            return function(self.last(x.flatten(2).transpose(1, 2)))

    model, plain, x = made(name)
    wanted = By()
    wanted.load_state_dict(plain.state_dict())
    assert torch.equal(model(x), wanted(x))


def test_every_channel_has_a_prelu_of_its_own_on_its_own_axis():
    model, *_ = made("prelu")
    assert sum(parameter.numel() for parameter in activation_parameters(model)) == 4 + 4 + 7 + 6
    last = [m for m in model.modules() if isinstance(m, ChannelPReLU) and m.num_parameters == 6]
    nn.init.normal_(last[0].weight)
    tokens = torch.randn(2, 9, 6)
    expected = torch.where(tokens > 0, tokens, tokens * last[0].weight)
    assert torch.equal(last[0](tokens), expected)


def test_what_has_nothing_to_replace_is_refused():
    with pytest.raises(errors.ArgumentError, match="a Linear without activations to replace; it"):
        replace_activations(nn.Linear(3, 2), torch.randn(4, 3), factory("silu"))
    gated = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    with pytest.raises(errors.ArgumentError, match=r"\(1 is left: the model's output, bounded"):
        replace_activations(gated, torch.randn(4, 3), factory("silu"))
