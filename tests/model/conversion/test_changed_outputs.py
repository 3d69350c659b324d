"""A conversion that changes the outputs is an error if the curves are exact, else a warning."""

import itertools
import os

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hinged
from hinged import PiecewiseLinear, errors

ROWS = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Applies a layer and an activation, and then a function of the model and the result."""

    def __init__(self, finish, act=None):
        super().__init__()
        self.lin, self.act, self.finish = nn.Linear(4, 8), act or nn.ReLU(), finish

    def forward(self, x):
        return self.finish(self, self.act(self.lin(x)))


def has_curves(model):
    return any(type(module) is PiecewiseLinear for module in model.modules())


FINISHES = {
    "class": lambda model, y: 2 * y if has_curves(model) else y,
    "number of parameters": lambda model, y: y * len(list(model.parameters())),
    "names of the state": lambda model, y: {"y": [y + ("act.values" in model.state_dict())]},
    "whole numbers": lambda model, y: (y * 1000 * (1 + has_curves(model))).long(),
    "number of outputs": lambda model, y: [y] * (1 + has_curves(model)),
    "number of rows": lambda model, y: y[has_curves(model) :],
}


def state_of(model):
    return [(module, dict(vars(module)), dict(module._modules)) for module in model.modules()]


@pytest.mark.parametrize("kind", FINISHES)
def test_other_outputs_with_exact_curves_are_an_error_and_nothing_changes(kind):
    model = Network(FINISHES[kind])
    before, state = model(ROWS), state_of(model)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    groups = optimizer.state_dict()["param_groups"]
    with pytest.raises(errors.ConversionError, match="all curves start exactly as their activ"):
        hinged.convert(model, ROWS, optimizers=optimizer)
    assert state_of(model) == state and optimizer.state_dict()["param_groups"] == groups
    torch.testing.assert_close(model(ROWS), before, rtol=0, atol=0)


@pytest.mark.parametrize("act", [nn.LeakyReLU(0.3), nn.PReLU(8), nn.Hardtanh(), nn.ReLU6()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rounding_is_no_error_and_a_larger_difference_is(act, dtype):
    deep = nn.Sequential(*(layer for _ in range(8) for layer in (nn.Linear(8, 8), act)))
    model = Network(lambda _, y: y, nn.Sequential(act, deep)).to(dtype)
    hinged.convert(model, ROWS.to(dtype))
    hinged.revert(model)
    model.finish = lambda model, y: y * (1 + 0.1 * has_curves(model))
    with pytest.raises(errors.ConversionError, match=r"of the largest output\); all curves start"):
        hinged.convert(model, ROWS.to(dtype))


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(20 * x)


APPROXIMATE = {
    "own class": (lambda: Network(lambda _, y: y, Sine()), {"activations": [Sine]}),
    "few hinges": (lambda: Network(lambda _, y: 10 * y, nn.Mish()), {"hinges": 2}),
    "constant tails": (lambda: Network(lambda _, y: y), {"tails": "constant", "spread": 0.2}),
}


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_large_differences_of_approximate_curves_are_a_warning(kind):
    make, settings = APPROXIMATE[kind]
    model = make()
    with pytest.warns(errors.ChangedOutputsWarning, match="whose outputs for the first batch") as w:
        hinged.convert(model, ROWS, **settings)
    assert w[0].filename == __file__
    assert has_curves(model) and "changed the outputs" in hinged.sites(model).notes[-1]
    other, optimizer = make(), torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(errors.ChangedOutputsWarning):  # Here, warnings are errors.
        hinged.convert(other, ROWS, optimizers=optimizer, **settings)
    assert not has_curves(other) and len(optimizer.param_groups) == 1


def test_another_start_is_no_warning():
    model = Network(lambda _, y: y)
    hinged.convert(model, ROWS, init="identity")
    assert "init=..." in hinged.sites(model).notes[-1]


RUNS = itertools.count()


def noise_of_system(y):
    return torch.tensor(list(os.urandom(8))) * y


UNREPEATABLE = {
    "system": lambda _, y: noise_of_system(y),
    "number of rows": lambda _, y: y[: 1 + next(RUNS) % 30],
    "counter": lambda _, y: y * (1 + next(RUNS)),
    "whole numbers": lambda _, y: (100 * noise_of_system(y)).long(),
}


@pytest.mark.parametrize("kind", UNREPEATABLE)
@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU()])
def test_outputs_that_differ_in_every_run_are_no_alarm(kind, act):
    model = hinged.convert(Network(UNREPEATABLE[kind], act), ROWS)
    note = hinged.sites(model).notes[-1]
    assert has_curves(model)
    if isinstance(act, nn.ReLU):
        assert "from one run of the unchanged model to the next" in note


class Regularised(nn.Module):
    """Draws random numbers in training: dropout of inputs in several memory layouts."""

    def __init__(self, act):
        super().__init__()
        self.lin, self.act, self.norm = nn.Linear(4, 8), act, nn.BatchNorm1d(8)

    def forward(self, x):
        y = self.norm(self.act(self.lin(F.dropout(x, 0.1, self.training))))
        y = F.dropout(self.act(y.t()), 0.5, self.training).t()
        y = self.act(y[:, ::2]) + self.act(y.view(8, 4, 8).permute(2, 0, 1)[4:].reshape(4, 32).t())
        y = F.feature_alpha_dropout(y[..., None], 0.3, self.training)[..., 0]
        return self.act(self.norm(torch.cat([y, y + torch.rand_like(y)], 1)))


@pytest.mark.parametrize("training", [True, False])
def test_random_numbers_and_running_means_are_no_alarm(training):
    for act in (nn.ReLU(), nn.LeakyReLU()):
        model = Regularised(act).train(training)
        hinged.convert(model, ROWS)
        assert len(hinged.sites(model).converted) == 5
        assert "from one run" not in hinged.sites(model).notes[-1]
