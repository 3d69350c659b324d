"""Collects losses, scores, dead units and durations, epoch by epoch."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from hinged import errors
from hinged.lab.data import DataSet
from hinged.lab.training.dead_units import DeadUnitCounter, DeadUnitShares
from hinged.lab.training.stopwatch import Stopwatch
from hinged.lab.training.training_result import OnEpoch


@dataclass
class EpochHistory(Callback):
    """A callback that collects and logs the results of each epoch.

    It trains a `hinged.lab.training.training_module.TrainingModule`.

    Attributes:
        data: the data set.
        on_epoch: called with the number of finished epochs.
        loss: mean loss of each epoch, over all processes.
        test_scores: the metric on the test split after each epoch.
        dead_units: shares of dead and dormant units after each epoch, on samples of the test split.
        step_seconds: duration of each training step.
        earlier_seconds: wall time before a resumed checkpoint.
    """

    data: DataSet
    on_epoch: OnEpoch | None
    loss: list[float] = field(default_factory=list)
    test_scores: list[float] = field(default_factory=list)
    dead_units: list[DeadUnitShares] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    earlier_seconds: float = 0.0
    _started: float = field(default_factory=time.perf_counter)
    _losses: list[Tensor] = field(default_factory=list)
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def state_key(self) -> str:
        """Name of this callback in checkpoints. It stays the same if the class is renamed."""
        return "Progress"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Raise an error if the processes do not start from the same epoch."""
        epoch = torch.tensor(float(trainer.current_epoch), device=module.device)
        if trainer.strategy.reduce(epoch, reduce_op="mean").item() != trainer.current_epoch:
            raise errors.RunFolderError(
                "The processes of this training do not see the same checkpoint. Give them all one "
                "folder, on a disk that they share."
            )

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the stopwatch."""
        self._stopwatch.start()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Stop the stopwatch and keep the loss."""
        outputs = arguments[2]
        self._losses.append(outputs["loss"].detach())  # Reading it here would make a GPU wait.
        self._stopwatch.stop()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Score the network and log the results."""
        mean = statistics.fmean(torch.stack(self._losses).tolist())
        self._losses.clear()
        loss = torch.tensor(mean, dtype=torch.float64, device=module.device)
        self.loss.append(trainer.strategy.reduce(loss, reduce_op="mean").item())
        self.step_seconds += self._stopwatch.seconds()
        with DeadUnitCounter(module.model) as counter:
            self.test_scores.append(module.score(self.data.x_test, self.data.y_test))
        figures = {"loss": self.loss[-1], f"test_{self.data.metric}": self.test_scores[-1]}
        module.log_dict(figures, rank_zero_only=True)
        shares = counter.shares()
        if shares is not None:
            self.dead_units.append(shares)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the results so far, for a checkpoint."""
        names = ("loss", "test_scores", "step_seconds")
        return {
            "seconds": self.earlier_seconds + time.perf_counter() - self._started,
            # Checkpoints are loaded with `weights_only`, which allows no named tuples.
            "idle": [tuple(shares) for shares in self.dead_units],
            **{name: list(getattr(self, name)) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the results in a checkpoint."""
        self.loss, self.test_scores = state["loss"], state["test_scores"]
        self.dead_units = [DeadUnitShares(*shares) for shares in state["idle"]]
        self.step_seconds = state["step_seconds"]
        self.earlier_seconds = state["seconds"]
