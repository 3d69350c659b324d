"""The states of random number generators are the same before and after a function on a model."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import hinged
from hinged.model.observation.random_state import RandomState

ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Drawing(nn.Module):
    """Multiplies its activations by random numbers that come from one generator."""

    def __init__(self, draw, own=None):
        super().__init__()
        self.lin, self.act, self.draw, self.own = nn.Linear(4, 8), nn.ReLU(), draw, own

    def forward(self, x):
        return self.act(self.lin(x)) * (self.draw(self.own) + 0.5)


GENERATORS = {
    "python": (lambda _: random.random(), None),
    "numpy": (lambda _: float(np.random.rand()), None),
    "torch": (lambda _: torch.rand(8), None),
    "own torch": (lambda own: torch.rand(8, generator=own), torch.Generator),
    "own python": (lambda own: own.random(), lambda: random.Random(3)),
    "own numpy": (lambda own: float(own.random()), lambda: np.random.default_rng(3)),
    "own old numpy": (lambda own: float(own.rand()), lambda: np.random.RandomState(3)),
}


def drawing(kind):
    draw, make = GENERATORS[kind]
    return Drawing(draw, None if make is None else make())


def next_number(model):
    state = RandomState(model)
    number = torch.as_tensor(model.draw(model.own))
    state.restore()
    return number


@pytest.mark.parametrize("kind", GENERATORS)
def test_generators_are_restored_and_draws_repeated(kind):
    model = drawing(kind)
    expected = next_number(model)
    assert torch.equal(next_number(model), expected)
    hinged.convert(model, [ROWS, 2 * ROWS])
    assert "bit for bit" in hinged.sites(model).notes[-1]
    assert torch.equal(next_number(model), expected)
    hinged.diagnose(model, ROWS)
    hinged.calibrate(model, ROWS)
    assert torch.equal(next_number(model), expected)


@pytest.mark.parametrize("kind", ["python", "numpy", "torch"])
def test_data_that_draw_random_numbers_cause_no_difference(kind):
    model = nn.Sequential(nn.Dropout(0.5), drawing(kind), nn.BatchNorm1d(8), nn.Dropout(0.5))

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return ROWS[index % 6] + random.random() + np.random.rand() + torch.rand(4)

    expected = next_number(model[1])
    hinged.convert(model, torch.utils.data.DataLoader(Noisy(), 6, shuffle=True))
    assert "bit for bit" in hinged.sites(model).notes[-1]
    assert torch.equal(next_number(model[1]), expected)
