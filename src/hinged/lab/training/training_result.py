"""The result of one training, for every training method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hinged.lab.training.dead_units import DeadUnitShares

OnEpoch = Callable[[int], None]
"""A callback that gets the number of finished epochs."""


@dataclass
class TrainingResult:
    """The trained network, its scores and its costs.

    Attributes:
        model: the trained network, in evaluation mode.
        train_score, test_score: the metric of the trained network on both splits.
        loss: mean training loss of each epoch.
        test_scores: the metric on the test split after each epoch. They are for display only and
            never select a model.
        dead_units: shares of dead and dormant units after each epoch. Empty if the network has none
            of the activations that `hinged.lab.training.dead_units` observes.
        step_ms: median duration of a training step (forward, backward, optimiser) in milliseconds.
        seconds: wall time of the training, including the time before a resumed checkpoint.
    """

    model: nn.Module
    train_score: float
    test_score: float
    loss: list[float]
    test_scores: list[float]
    dead_units: list[DeadUnitShares]
    step_ms: float
    seconds: float
