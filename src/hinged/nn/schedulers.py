"""Lets learning-rate schedulers schedule groups that are added to their optimizer later."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# Attributes of schedulers with one entry for each group of the optimizer.
_RATES = ("base_lrs", "_last_lr", "min_lrs", "max_lrs", "base_values", "warmup_steps")
_OTHERS = ("lr_lambdas", "base_momentums", "max_momentums")


def schedulers_of(optimizer: Optimizer) -> list[Any]:
    """Return all schedulers of torch and timm that set the learning rates of an optimizer.

    An optimizer does not know its schedulers, so they are searched among all Python objects.
    """
    timm = sys.modules.get("timm.scheduler.scheduler")
    classes = (LRScheduler,) if timm is None else (LRScheduler, timm.Scheduler)
    found = [each for each in gc.get_objects() if issubclass(type(each), classes)]
    # A library may wrap the optimizer in another one that has the same groups.
    given = ((each, vars(each).get("optimizer")) for each in found)
    return [
        each
        for each, other in given
        if isinstance(other, Optimizer) and other.param_groups is optimizer.param_groups
    ]


def schedule_last_group(optimizer: Optimizer, old: Mapping[str, Any], factor: float) -> None:
    """Let the schedulers of an optimizer schedule its last group, which was added after them.

    Args:
        optimizer: the optimizer.
        old: the group that the last group follows, in proportion.
        factor: the learning rate of the last group, divided by that of the old one.

    >>> import torch
    >>> from torch import nn
    >>> weight, values = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    >>> optimizer.add_param_group({**optimizer.param_groups[0], "params": [values], "lr": 0.4})
    >>> schedule_last_group(optimizer, optimizer.param_groups[0], 4.0)
    >>> scheduler.get_last_lr()
    [0.1, 0.4]
    """
    groups = optimizer.param_groups
    index = next(i for i, group in enumerate(groups) if group is old)
    for scheduler in schedulers_of(optimizer):
        for name in (*_RATES, *_OTHERS):
            entries = vars(scheduler).get(name)
            if isinstance(entries, list) and len(entries) == len(groups) - 1:
                entries.append(factor * entries[index] if name in _RATES else entries[index])
