"""A Lightning callback that collects losses, scores, dead units and durations."""

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
    """A Lightning callback that collects and logs the results of each epoch.

    The trained module must be a `hinged.lab.training.training_module.TrainingModule`.

    Attributes:
        data: the data set.
        on_epoch: a function that is called after each epoch with the number of finished epochs.
            None calls nothing.
        loss: mean training loss of each epoch, over the batches of all processes.
        test_scores: score on the test split after each epoch, in the metric of the data set.
        dead_units: shares of dead and dormant units after each epoch, on samples of the test split.
        step_seconds: duration of each training step in seconds.
        earlier_seconds: if the training was resumed, the wall time in seconds before its checkpoint
            was written. 0 for a new training.
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
        """The name of this callback in checkpoints. It stays the same if the class is renamed."""
        return "Progress"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Raise an error if the processes do not start from the same epoch."""
        epoch = torch.tensor(float(trainer.current_epoch), device=module.device)
        if trainer.strategy.reduce(epoch, reduce_op="mean").item() != trainer.current_epoch:
            raise errors.RunFolderError(
                "The processes of this training start at different epochs, because they read "
                "different checkpoints. Give all processes the same run folder, on a shared disk."
            )

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the stopwatch for a training step."""
        self._stopwatch.start()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Stop the stopwatch and store the loss of the batch."""
        outputs = arguments[2]
        self._losses.append(outputs["loss"].detach())  # `.item()` would wait for a GPU.
        self._stopwatch.stop()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Score the network on the test split, and log the results of the epoch."""
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
        """Return the results of all finished epochs, for a checkpoint."""
        names = ("loss", "test_scores", "step_seconds")
        return {
            "seconds": self.earlier_seconds + time.perf_counter() - self._started,
            # Checkpoints are loaded with `weights_only`, which allows no named tuples.
            "idle": [tuple(shares) for shares in self.dead_units],
            **{name: list(getattr(self, name)) for name in names},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the results of all finished epochs from a checkpoint.

        Args:
            state: the dictionary that `state_dict` returned.
        """
        self.loss, self.test_scores = state["loss"], state["test_scores"]
        self.dead_units = [DeadUnitShares(*shares) for shares in state["idle"]]
        self.step_seconds = state["step_seconds"]
        self.earlier_seconds = state["seconds"]
