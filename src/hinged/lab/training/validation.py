"""A Lightning callback that scores a network on validation samples and keeps the best epoch."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import nn

from hinged.lab.data.validation_split import Samples


@dataclass
class Validation(Callback):
    """A Lightning callback that scores the network on validation samples after each epoch.

    The trained module must be a `hinged.lab.training.training_module.TrainingModule`.

    Attributes:
        samples: the validation samples.
        keep_best: whether to keep the parameters and buffers of the epoch with the best score.
        scores: score on the validation samples after each epoch.
        best_epoch: the number of the epoch with the best score, counted from 1. The first one, if
            several epochs have this score. None if no score is finite, or without `keep_best`.
        best_state: the parameters and buffers after this epoch, by name.
    """

    samples: Samples
    keep_best: bool
    scores: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    best_state: dict[str, Any] = field(default_factory=dict)

    @property
    def state_key(self) -> str:
        """The name of this callback in checkpoints. It stays the same if the class is renamed."""
        return "Validation"

    def on_train_epoch_end(self, _trainer: Any, module: Any) -> None:
        """Score the network on the validation samples, and keep its parameters if it is best."""
        score = module.score(*self.samples)
        self.scores.append(score)
        module.log(f"validation_{module.data.metric}", score, rank_zero_only=True)
        best = -math.inf if self.best_epoch is None else self.scores[self.best_epoch - 1]
        if self.keep_best and score > best:
            self.best_epoch = len(self.scores)
            self.best_state = copy.deepcopy(module.model.state_dict())

    def restore_best(self, model: nn.Module) -> int | None:
        """Load the kept parameters and buffers into the network, if an epoch was kept.

        Returns:
            `best_epoch`, whose parameters and buffers the network has now.
        """
        if self.best_epoch is not None:
            model.load_state_dict(self.best_state)
        return self.best_epoch

    def state_dict(self) -> dict[str, Any]:
        """Return the scores and the kept parameters, for a checkpoint."""
        return {
            "scores": list(self.scores),
            "best_epoch": self.best_epoch,
            "best_state": dict(self.best_state),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the scores and the kept parameters from a checkpoint.

        Args:
            state: the dictionary that `state_dict` returned.
        """
        self.scores = state["scores"]
        self.best_epoch, self.best_state = state["best_epoch"], state["best_state"]
