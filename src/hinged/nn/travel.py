"""How far curves can travel in a training, relative to the scale of their inputs.

A step in the metric changes the outputs of a curve by about `lr` scales of its inputs (the scale is
`hinged.curve.metric.input_scale`). The sum of the learning rates over all steps is therefore about
the largest distance from its start that a curve can reach. Trained curves often go much less far,
because steps in different directions cancel. Outside the range of the hinges, where curves continue
in straight lines, they can change more.
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, ReduceLROnPlateau, SequentialLR

from hinged.nn.metric_steps import in_metric

MIN_TRAVEL = 0.1
"""Curves that can travel less than this, relative to the scale of their inputs, hardly change.

MLPs were trained on the data sets `digits` and `kin8nm` with several learning rates of the curves.
Curves gained most where the rates had a sum of 1 to 3. With a sum of 0.1, they had a fifth to a
third of this gain, with 0.03 less than a tenth, and with 0.01 nothing.
"""

_MOST_SIMULATED = 100_000
"""Largest number of steps of a schedule that are simulated."""


def describe_short_travel(travel: float, steps: int, setting: str, value: float) -> str | None:
    """Return what is wrong and what to do if curves cannot travel `MIN_TRAVEL`, and None otherwise.

    Args:
        travel: the sum of the learning rates of the curves over all steps.
        steps: the number of steps.
        setting: the name of the setting that the learning rates are proportional to.
        value: the value of this setting.

    >>> describe_short_travel(1.5, 300, "curve_lr", 0.01) is None
    True
    """
    if travel >= MIN_TRAVEL:
        return None
    least = _round_up(value * MIN_TRAVEL / travel if travel > 0 else MIN_TRAVEL / steps)
    return (
        f"curves can travel at most {travel:.2g} times the scale of their inputs in {steps:,} "
        f"steps (the sum of their learning rates), and below {MIN_TRAVEL:g} they hardly change: "
        f"raise {setting} from {value:.2g} to {least:.2g} or more, or train longer"
    )


def _round_up(number: float) -> float:
    """Return the smallest number with two significant digits that is not less than `number`."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit * (1 - 1e-9)) * unit


def farthest_travel(
    optimizer: Optimizer, steps: int, scheduler: Any = None, *, steps_per_call: int = 1
) -> float | None:
    """Return the sum of the learning rates of the curves over a training, before it begins.

    Schedulers of torch are simulated, without a change to them or to the optimizer. Other
    schedulers and `ReduceLROnPlateau` are not: the largest rate then counts for all steps.

    Args:
        optimizer: the optimizer. If it has several groups of curves, the largest of their rates
            counts in each step.
        steps: the number of steps of the optimizer.
        scheduler: the scheduler of the optimizer; None for constant rates.
        steps_per_call: number of steps of the optimizer for each step of the scheduler.

    Returns:
        The sum of the rates, or of the first rates if their sum is at least `MIN_TRAVEL` already.
        None if the optimizer trains no curves in their metric.

    >>> curves = {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01, "smoothing": 0.1}
    >>> optimizer = torch.optim.SGD([curves])
    >>> farthest_travel(optimizer, 4)
    0.04
    >>> halved = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> farthest_travel(optimizer, 4, halved)
    0.01875
    """
    if not any(map(in_metric, optimizer.param_groups)):
        return None
    total, left = 0.0, steps
    calls = math.ceil(min(steps, _MOST_SIMULATED) / steps_per_call)
    for number, rate in enumerate(itertools.islice(_rates(optimizer, scheduler), calls), 1):
        taken = left if number == calls else steps_per_call
        total, left = total + rate * taken, left - taken
        if total >= MIN_TRAVEL:
            break
    return total


def largest_rate(optimizer: Optimizer) -> float:
    """Return the largest learning rate of curves in an optimizer, now or in its schedule."""
    names = ("lr", "initial_lr", "max_lr")
    groups = filter(in_metric, optimizer.param_groups)
    return max(float(group[name]) for group in groups for name in names if name in group)


def _rates(optimizer: Optimizer, scheduler: Any) -> Iterator[float]:
    """Yield the largest learning rate of the curves before each step of the scheduler."""
    if scheduler is None:
        yield from itertools.repeat(_present_rate(optimizer))
    if not _can_simulate(scheduler):
        yield from itertools.repeat(largest_rate(optimizer))
    copied = _copy_without_parameters(optimizer)
    simulated = _copy_for(scheduler, copied)
    while True:
        yield _present_rate(copied)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The copied optimizer takes no steps.
            simulated.step()


def _present_rate(optimizer: Optimizer) -> float:
    return max(float(group["lr"]) for group in filter(in_metric, optimizer.param_groups))


def _can_simulate(scheduler: Any) -> bool:
    """Return whether a scheduler is one of torch that changes no object except its optimizer."""
    if isinstance(scheduler, ChainedScheduler | SequentialLR):
        return all(map(_can_simulate, scheduler._schedulers))
    of_torch = type(scheduler).__module__.startswith("torch.")
    return of_torch and not isinstance(scheduler, ReduceLROnPlateau)


def _copy_without_parameters(optimizer: Optimizer) -> Optimizer:
    """Return an optimizer with the same settings of groups, and one empty parameter in each."""
    groups = []
    for group in optimizer.param_groups:
        names = group.keys() - {"params", "param_names"}
        settings = {name: copy.deepcopy(group[name]) for name in names}
        groups.append({**settings, "params": [nn.Parameter(torch.empty(0))]})
    copied = SGD(groups)
    copied.defaults.update(optimizer.defaults)
    return copied


def _copy_for(scheduler: Any, optimizer: Optimizer) -> Any:
    """Return a copy of a scheduler that changes the rates of another optimizer."""
    copied = copy.copy(scheduler)
    copied.optimizer = optimizer
    if isinstance(scheduler, ChainedScheduler | SequentialLR):
        copied._schedulers = [_copy_for(each, optimizer) for each in scheduler._schedulers]
    return copied
