"""Schedulers that were made before `hinged.convert` schedule the curves in proportion."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

import hinged
from hinged import errors
from hinged._torchvision_operators import declare_missing
from hinged.nn.schedulers import schedulers_of

ROWS = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))


def warm_up(step):
    return min(1.0, step / 4)


def warm_up_then_cosine(optimizer):
    first = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
    second = lr_scheduler.CosineAnnealingLR(optimizer, 9)
    return lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[3])


def two_in_a_chain(optimizer):
    first = lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=4)
    return lr_scheduler.ChainedScheduler([first, lr_scheduler.ExponentialLR(optimizer, 0.9)])


def timm_cosine(optimizer):
    declare_missing()
    scheduler = pytest.importorskip("timm.scheduler")
    return scheduler.CosineLRScheduler(optimizer, t_initial=12, warmup_t=4, warmup_lr_init=1e-9)


SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 2),
    "multistep": lambda o: lr_scheduler.MultiStepLR(o, [2, 5]),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, warm_up),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda _: 0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 12),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, 12),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.01, total_steps=13),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.001, 0.01, step_size_up=3),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.3, patience=0, min_lr=1e-4),
    "averaging": lambda o: SWALR(o, swa_lr=0.002, anneal_epochs=5),
    "sequential": warm_up_then_cosine,
    "chained": two_in_a_chain,
    "timm": timm_cosine,
}


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.PReLU(), nn.Linear(8, 1))


def advance(optimizer, scheduler, step):
    optimizer.step()
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(float(step))
    elif isinstance(scheduler, lr_scheduler.LRScheduler):
        scheduler.step()
    else:
        scheduler.step(step)


@pytest.mark.parametrize("steps_before", [0, 2])
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_rates_of_curves_stay_in_proportion(kind, steps_before):
    torch.manual_seed(0)
    model, alone = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    reference = torch.optim.SGD(alone.parameters(), lr=0.01, momentum=0.9)
    scheduler, expected = SCHEDULERS[kind](optimizer), SCHEDULERS[kind](reference)
    for step in range(1, 1 + steps_before):
        advance(optimizer, scheduler, step)
        advance(reference, expected, step)
    hinged.convert(model, ROWS, optimizers=optimizer)
    ratios, rates = set(), []
    for step in range(1 + steps_before, 11):
        advance(optimizer, scheduler, step)
        advance(reference, expected, step)
        weights, curves = optimizer.param_groups
        assert weights["lr"] == reference.param_groups[0]["lr"]
        ratios.add(round(float(curves["lr"] / weights["lr"]), 5))
        rates.append(curves["lr"])
    assert ratios == {4.0} and len(set(rates)) > 1


def test_a_scheduler_of_several_groups_gives_curves_the_rate_of_the_group_of_weights():
    model = network()
    groups = [
        {"params": model[0].parameters(), "lr": 0.004},
        {"params": model[2].parameters(), "lr": 0.001, "name": "weights"},
    ]
    optimizer = torch.optim.SGD(groups)
    scheduler = lr_scheduler.LambdaLR(optimizer, [lambda _: 0.5, lambda step: 0.9**step])
    hinged.convert(model, ROWS, tails="free", optimizers=optimizer)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    found = {group.get("name"): group["lr"] for group in optimizer.param_groups}
    rate = 0.001 * 0.9**3
    assert found == pytest.approx(
        {None: 0.002, "weights": rate, "curves": 4 * rate, "activations": 2 * rate}
    )
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]


def test_schedulers_of_other_optimizers_are_not_touched():
    model = network()
    optimizer, other = (torch.optim.SGD(model.parameters(), lr=0.01) for _ in range(2))
    scheduler = lr_scheduler.StepLR(other, 2)
    hinged.convert(model, ROWS, optimizers=optimizer)
    assert schedulers_of(optimizer) == [] and schedulers_of(other) == [scheduler]
    assert scheduler.base_lrs == [0.01]


class OneGroupOnly(torch.optim.AdamW):
    def add_param_group(self, group):
        if self.param_groups:
            raise ValueError("one group only")
        super().add_param_group(group)


class TwoGroupsOnly(torch.optim.Adam):
    def add_param_group(self, group):
        if len(self.param_groups) == 2:
            raise RuntimeError("two groups only")
        super().add_param_group(group)


@pytest.mark.parametrize("kind", [OneGroupOnly, TwoGroupsOnly])
def test_a_refused_group_leaves_model_optimizer_and_scheduler_as_they_were(kind):
    model = network()
    optimizer = kind(model.named_parameters(), lr=0.01)
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    model(ROWS).sum().backward()
    optimizer.step()
    state, lists = optimizer.state_dict(), dict(vars(scheduler))
    lists = {name: list(value) for name, value in lists.items() if isinstance(value, list)}
    slope = optimizer.state[model[1].weight]
    with pytest.raises((ValueError, RuntimeError), match="only"):
        hinged.convert(model, ROWS, tails="free", optimizers=optimizer)
    assert isinstance(model[1], nn.PReLU)
    with pytest.raises(errors.ArgumentError, match="was not converted"):
        hinged.sites(model)
    assert optimizer.state_dict() == state and optimizer.state[model[1].weight] is slope
    assert {name: vars(scheduler)[name] for name in lists} == lists


def test_a_named_optimizer_gets_the_names_of_the_curves():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.act = nn.Linear(4, 4), nn.PReLU()

        def forward(self, x):
            return self.act(self.lin(self.act(x)))

    for model in (network(), Twice(), nn.Sequential(network(), nn.LeakyReLU())):
        optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.01)
        hinged.convert(model, ROWS, tails="free", optimizers=optimizer)
        known = dict(model.named_parameters())
        for group in optimizer.param_groups:
            found = [known[name] for name in group["param_names"]]
            assert len(found) == len(group["params"])
            assert all(a is b for a, b in zip(found, group["params"], strict=True))
        model(ROWS).sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
