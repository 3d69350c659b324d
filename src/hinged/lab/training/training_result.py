"""What training gives, however it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hinged.lab.training.dead_units import Idle

OnEpoch = Callable[[int], None]
"""Is called with the number of epochs finished."""


@dataclass
class TrainingResult:
    """What training gave.

    Attributes:
        model: the trained network, in evaluation mode.
        train_score, test_score: the data set's metric of the trained network.
        loss: mean training loss of each epoch.
        test_scores: the metric on the test split after each epoch, to look at, never to choose by.
        idle: shares of dead and of dormant units after each epoch, as `hinged.lab.training.dead_units` counts
            them; empty for a network without an activation known there.
        step_ms: median milliseconds of a training step (forward, backward, optimiser).
        seconds: wall time of the training, that before a resumed checkpoint included.
    """

    model: nn.Module
    train_score: float
    test_score: float
    loss: list[float]
    test_scores: list[float]
    idle: list[Idle]
    step_ms: float
    seconds: float
