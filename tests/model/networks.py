"""A network with curves, and checks that a call leaves a model unchanged."""

import torch
from torch import nn

from hinged import PiecewiseLinear


class Convolutional(nn.Module):
    """Two layers of curves with BatchNorm and dropout, and a third layer that is never called."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.norm = nn.BatchNorm2d(5)
        self.first = PiecewiseLinear(5)
        self.drop = nn.Dropout(0.5)
        self.line = nn.Linear(5, 4)
        self.second = PiecewiseLinear(4, dim=-1, init="gelu")
        self.spare = PiecewiseLinear(2)

    def forward(self, x, scale=1.0):
        x = self.drop(self.first(self.norm(self.conv(x)))).mean(dim=(2, 3))
        return self.second(self.line(x) * scale)


def snapshot(model):
    """Return copies of the state, the training flags and the random state."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    return state, flags, torch.get_rng_state().clone()


def assert_unchanged(model, before):
    state, flags, random = before
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), random)
