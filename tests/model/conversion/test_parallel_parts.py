"""Tests of models that run parts of their forward pass in threads or by `torch.jit.fork`."""

import threading

import pytest
import torch
from torch import nn

import hinged

ROWS = torch.randn(8, 4)


def in_thread(function, x):
    found = []
    thread = threading.Thread(target=lambda: found.append(function(x)))
    thread.start()
    thread.join()
    return found[0]


def in_fork(function, x):
    return torch.jit.wait(torch.jit.fork(function, x))


class Parallel(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.first, self.second, self.run = nn.Linear(4, 4), nn.Linear(4, 4), run

    def part(self, x):
        return torch.tanh(self.first(x))

    def forward(self, x):
        return torch.relu(self.second(self.run(self.part, x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "run, converted", [(in_thread, ["ReLU()"]), (in_fork, ["Tanh()", "ReLU()"])]
)
def test_only_threads_hide_activations(run, converted):
    model = Parallel(run)
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert [site.activation for site in hinged.sites(model).converted] == converted
    assert torch.equal(hinged.revert(model)(ROWS), before)
    if run is in_thread:
        assert torch.equal(hinged.convert(model, ROWS)(ROWS), before)
