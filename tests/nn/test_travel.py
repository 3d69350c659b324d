import copy
import math
import warnings

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from hinged import PiecewiseLinear, errors, param_groups
from hinged.nn import travel
from hinged.nn.travel import MIN_TRAVEL, describe_short_travel, farthest_travel, largest_rate

SCHEDULERS = {
    "one cycle": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, [0.1, 0.2], 50),
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 20),
    "steps": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [10, 20]),
    "own function": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (n + 1)),
    "sequence": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, 0.1, 1, 5), lr_scheduler.ExponentialLR(optimizer, 0.9)],
        [5],
    ),
    "chain": lambda optimizer: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(optimizer, 0.1, 4), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    ),
}
OPTIMIZERS = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
    "tensors": lambda groups: torch.optim.AdamW(
        [{**group, "lr": torch.tensor(group["lr"])} for group in groups]
    ),
}


def network():
    return nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3))


def settings(optimizer, scheduler):
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    return copy.deepcopy((groups, scheduler.state_dict()))


@pytest.fixture
def whole_sums(monkeypatch):
    """Sums are computed to the end, however large they are."""
    monkeypatch.setattr(travel, "MIN_TRAVEL", math.inf)


@pytest.mark.usefixtures("whole_sums")
@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_the_sum_of_rates_is_that_of_the_training(schedule, kind, every):
    optimizer = OPTIMIZERS[kind](param_groups(network(), 1e-3))
    scheduler = SCHEDULERS[schedule](optimizer)
    before = settings(optimizer, scheduler)
    found = farthest_travel(optimizer, 50, scheduler, steps_per_call=every)
    assert settings(optimizer, scheduler) == before
    taken = 0.0
    for step in range(1, 51):
        taken += float(optimizer.param_groups[1]["lr"])
        optimizer.step()
        if step % every == 0 and step < 50:
            scheduler.step()
    assert found == pytest.approx(taken, rel=1e-6)


CALLS = []


class OwnScheduler(lr_scheduler.ExponentialLR):
    """A scheduler that changes another object."""

    def get_lr(self):
        CALLS.append(self)
        return super().get_lr()


@pytest.mark.usefixtures("whole_sums")
def test_other_schedulers_are_not_simulated_and_count_with_their_largest_rate():
    curves = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01, "smoothing": 0.1}
    optimizer = torch.optim.SGD([{**curves, "max_lr": 0.02}])
    own = OwnScheduler(optimizer, 0.5)
    called = len(CALLS)
    for scheduler in (own, lr_scheduler.ReduceLROnPlateau(optimizer)):
        assert farthest_travel(optimizer, 10, scheduler) == pytest.approx(0.2)
    assert len(CALLS) == called
    assert largest_rate(optimizer) == 0.02


@pytest.mark.usefixtures("whole_sums")
def test_a_long_schedule_ends_with_its_last_simulated_rate(monkeypatch):
    monkeypatch.setattr(travel, "_MOST_SIMULATED", 3)
    curves = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.8, "smoothing": 0.1}
    optimizer = torch.optim.SGD([curves])
    halved = lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert farthest_travel(optimizer, 10, halved) == pytest.approx(0.8 + 0.4 + 8 * 0.2)


def test_the_sum_ends_when_it_is_large_enough():
    curves = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.03, "smoothing": 0.1}
    optimizer = torch.optim.SGD([curves])
    assert MIN_TRAVEL <= farthest_travel(optimizer, 10**12) < MIN_TRAVEL + 0.03


@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_only_curves_in_their_metric_travel(smoothing):
    model = network() if smoothing is None else nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(param_groups(model, 1e-3, smoothing=smoothing))
    assert farthest_travel(optimizer, 10) is None


def test_the_rate_that_the_sentence_names_is_enough():
    for number in torch.logspace(-9, 3, 200).tolist():
        text = describe_short_travel(0.9 * MIN_TRAVEL, 7, "rate", number)
        least = float(text.partition(" or more")[0].rpartition(" ")[2])
        assert number / 0.9 * (1 - 1e-6) <= least < 1.2 * number / 0.9


def test_a_model_with_many_steps_gets_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        param_groups(network(), 1e-3, curve_lr=1e-3, steps=math.ceil(MIN_TRAVEL / 1e-3))
        param_groups(network(), 1e-3, curve_lr=0.0)
        param_groups(network(), 1e-6, smoothing=None, steps=10)
        param_groups(nn.Linear(2, 3), 1e-6, steps=10)


def test_curves_that_cannot_travel_are_named_with_a_better_rate():
    text = (
        r"param_groups\(steps=\.\.\.\)`: curves can travel at most 0.008 times the scale of their "
        r"inputs in 80 steps .* raise curve_lr from 0.0001 to 0.0013 or more, or train longer\."
    )
    with pytest.warns(errors.ShortTravelWarning, match=text):
        param_groups(network(), 1e-3, curve_lr=torch.tensor(1e-4), steps=80)
    with pytest.warns(errors.ShortTravelWarning, match=r"raise curve_lr from 0 to 0\.01 or more"):
        param_groups(network(), 1e-3, curve_lr=0, steps=10)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "10"])
def test_steps_that_are_no_count_are_refused(steps):
    with pytest.raises(errors.ArgumentError, match=r"steps=\.\.\.\)`: got .*; expected the number"):
        param_groups(network(), 1e-3, steps=steps)
