"""Parameters and hooks of replaced activations act on the curves, or are named and frozen."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hinged
from hinged import PiecewiseLinear
from tests.processes import in_two_processes

ROWS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


class Twice(nn.Module):
    def __init__(self, act=None):
        super().__init__()
        self.lin, self.act = nn.Linear(4, 4), act or nn.PReLU()

    def forward(self, x):
        return self.act(self.lin(self.act(x)))


class InLoop(Twice):
    def forward(self, x):
        for _ in range(3):
            x = self.act(self.lin(x))
        return x


class Tied(nn.Module):
    """Its activation is called once, but its weight has a second name."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.PReLU())
        self.slope = self.net[1].weight

    def forward(self, x):
        return self.net(x)


class Scaled(nn.Module):
    """An activation of the user with a parameter in a submodule."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ParameterList([nn.Parameter(torch.tensor(0.5))])

    def forward(self, x):
        return torch.relu(x) * self.inner[0]


MODELS = {
    "twice": (Twice, {}, ["act.weight"]),
    "tied": (Tied, {}, ["slope"]),
    "own class": (lambda: Twice(Scaled()), {"activations": [Scaled]}, ["act.inner.0"]),
    "two names": (lambda: nn.Sequential(Twice(), nn.Linear(4, 4)), {}, ["0.act.weight"]),
}


def trained(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("kind", MODELS)
def test_parameters_without_effect_are_frozen_until_the_model_is_reverted(kind):
    make, settings, unused = MODELS[kind]
    model = make()
    names = list(dict(model.named_parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hinged.convert(model, ROWS, optimizers=optimizer, **settings)
    assert set(names) - set(trained(model)) >= set(unused)
    note = next(note for note in hinged.sites(model).notes if "no effect any more" in note)
    assert note.startswith(f"{unused[0]} has no effect any more and is frozen")
    assert not any(p is model.get_parameter(unused[0]) for p in optimizer.param_groups[0]["params"])
    copied = copy.deepcopy(model)
    copied(ROWS).sum().backward()
    assert all(copied.get_parameter(name).grad is not None for name in trained(copied))
    for each in (model, copied):
        hinged.revert(each)
        assert trained(each) == names


class Penalised(nn.Module):
    """Reads the parameter of an activation that is replaced."""

    def __init__(self):
        super().__init__()
        self.net = Twice()

    def forward(self, x):
        return self.net(x) + self.net.act.weight.square()


class InTraining(Twice):
    """Applies its activation a third time in training only."""

    def forward(self, x):
        return self.act(self.lin(self.act(x))) if self.training else self.act(x)


STILL_USED = {
    "read": (Penalised, {}, "net.act.weight"),
    "one of two calls": (Twice, {"where": lambda site: site.name.endswith("act_2")}, "act.weight"),
    "in the other mode": (
        lambda: InTraining().eval(),
        {"where": lambda site: site.name.endswith("act_1")},
        "act.weight",
    ),
}


@pytest.mark.parametrize("kind", STILL_USED)
def test_parameters_that_are_still_used_are_trained(kind):
    make, settings, name = STILL_USED[kind]
    model = hinged.convert(make(), ROWS, **settings).train()
    assert name in trained(model)
    model(ROWS).sum().backward()
    assert model.get_parameter(name).grad is not None


def test_parameters_that_were_frozen_stay_so_and_are_not_named():
    model = Twice()
    model.act.requires_grad_(False)
    hinged.convert(model, ROWS)
    assert not any("no effect" in note for note in hinged.sites(model).notes)
    assert not hinged.revert(model).act.weight.requires_grad


def train_replicas(rank, _folder):
    for make, settings, _ in MODELS.values():
        torch.manual_seed(0)
        model = hinged.convert(make(), ROWS, **settings)
        replicas = DistributedDataParallel(model)
        optimizer = torch.optim.SGD(hinged.param_groups(model, 0.01))
        for _ in range(2):
            optimizer.zero_grad()
            replicas(ROWS[rank::2]).square().sum().backward()
            optimizer.step()


def test_converted_models_are_trained_by_distributed_data_parallel(tmp_path):
    in_two_processes(train_replicas, tmp_path)


class SharedModule(nn.Module):
    def __init__(self):
        super().__init__()
        act = nn.ReLU()
        self.net = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act)

    @property
    def act(self):
        return self.net[1]

    def forward(self, x):
        return self.net(x)


HOOKED = {
    "twice": (Twice, 2),
    "in a loop": (InLoop, 3),
    "two names": (SharedModule, 2),
    "leaky in a loop": (lambda: InLoop(nn.LeakyReLU()), 3),
}


@pytest.mark.parametrize("kind", HOOKED)
def test_hooks_of_a_module_that_is_called_several_times_fire_each_time(kind):
    make, calls = HOOKED[kind]
    model, fired = make(), []
    module = model.act
    handles = [
        module.register_forward_pre_hook(lambda *_: fired.append("before")),
        module.register_forward_hook(lambda *_: fired.append("after")),
        module.register_full_backward_hook(lambda *_: fired.append("backward")),
    ]
    hinged.convert(model, ROWS, optimizers=torch.optim.SGD(model.parameters(), lr=0.1))
    fired.clear()
    model(ROWS.clone().requires_grad_()).sum().backward()
    assert fired == ["before", "after"] * calls + ["backward"] * calls
    handles[0].remove()
    fired.clear()
    with torch.no_grad():
        model(ROWS)
    assert fired == ["after"] * calls
    hinged.revert(model)
    assert len(module._forward_pre_hooks) == 0 and len(module._forward_hooks) == 1
    fired.clear()
    with torch.no_grad():
        model(ROWS)
    assert fired == ["after"] * calls and model.act is module


def test_hooks_that_change_inputs_or_outputs_still_do_so():
    model = nn.Sequential(Twice(nn.ReLU()), SharedModule())
    model[0].act.register_forward_hook(lambda _module, _args, y: y + 1)
    model[1].act.register_forward_pre_hook(lambda _module, args: (args[0] - 1,))
    before = model(ROWS)
    hinged.convert(model, ROWS)
    assert any(isinstance(module, PiecewiseLinear) for module in model.modules())
    torch.testing.assert_close(model(ROWS), before)


def test_hooks_for_saving_and_loading_are_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
    model[1].register_state_dict_post_hook(lambda *_: None)
    hinged.convert(model, ROWS)
    note = hinged.sites(model).notes[0]
    assert note == "Hooks of 1 on its state_dict are not called until revert."
