"""Whether the curves of an experiment can travel far enough in their training to change."""

from __future__ import annotations

import torch
from torch import nn

from hinged.lab.data.batches import count_batches
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.training.freezing import EVERYTHING
from hinged.lab.training.training_module import one_cycle
from hinged.nn.parameter_groups import curve_group
from hinged.nn.travel import describe_short_travel, farthest_travel
from hinged.optim import METHODS

CURVES = "hinged"
"""The activation that consists of curves."""


def describe_still_curves(experiment: Experiment, train_samples: int) -> str | None:
    """Return a sentence if the trained curves of an experiment cannot travel far enough to change.

    The result is None if they can, and also if no curves are trained in their metric.

    Args:
        experiment: the experiment.
        train_samples: the number of samples of the training split.
    """
    experiment = experiment.for_activation(CURVES)
    training = experiment.training
    trained = training.trains == EVERYTHING or "curves" in training.trains.split("+")
    if not (trained and experiment.curves.trained and CURVES in experiment.activations):
        return None
    if not training.curve_metric or training.optimizer in METHODS:
        return None
    steps = _count_steps(training, train_samples)
    if steps < 1:
        return None
    values = nn.Parameter(torch.empty(0))
    curves = curve_group([values], {"lr": training.lr}, training.smoothing)
    if training.curve_lr is not None:
        curves["lr"] = training.curve_lr
    factor = curves["lr"] / training.lr
    optimizer = torch.optim.SGD([curves])
    travel = farthest_travel(optimizer, steps, one_cycle(optimizer, steps, cycle_momentum=False))
    assert travel is not None
    short = describe_short_travel(travel, steps, "training.curve_lr_factor", factor)
    return None if short is None else f"{short[0].upper()}{short[1:]}."


def _count_steps(training: TrainingSettings, train_samples: int) -> int:
    """Return the number of optimizer steps of a training."""
    processes = torchrun_process().world_size
    train_samples -= round(training.validation * train_samples)
    per_pass = count_batches(train_samples, training.batch_size, processes)
    return training.epochs * (training.steps_per_epoch or per_pass)
