"""The result of one training, for all training methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from hinged.lab.training.dead_units import DeadUnitShares

OnEpoch = Callable[[int], None]
"""A function that is called after each epoch with the number of finished epochs."""


@dataclass
class TrainingResult:
    """The trained network, its scores and its costs.

    Attributes:
        model: the trained network, in evaluation mode.
        train_score: score of the trained network on the training split, in the metric of the data
            set. Samples that are held out for validation are left out.
        test_score: score of the trained network on the test split, in the same metric.
        loss: mean training loss of each epoch.
        test_scores: score on the test split after each epoch. These scores are only for display and
            never select a model.
        dead_units: shares of dead and dormant units after each epoch. Empty if the network has no
            activation that `hinged.lab.training.dead_units` observes.
        step_ms: median duration in milliseconds of a training step (forward, backward and
            optimizer).
        seconds: wall time of the training in seconds. For a resumed training, this includes the
            time before the checkpoint.
        test_outputs: outputs of the trained network for the samples of the test split, `(N, ...)`.
        validation_scores: score on the validation samples after each epoch. Empty if no samples
            are held out.
        best_epoch: number of the epoch whose parameters the network has, counted from 1. None if
            the network has the parameters of the last epoch because no epoch was chosen.
    """

    model: nn.Module
    train_score: float
    test_score: float
    loss: list[float]
    test_scores: list[float]
    dead_units: list[DeadUnitShares]
    step_ms: float
    seconds: float
    test_outputs: Tensor
    validation_scores: list[float] = field(default_factory=list)
    best_epoch: int | None = None
