"""What happens in each epoch of a training, collected, scored and timed."""

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
from hinged.lab.training.dead_units import DeadUnitCounter, Idle
from hinged.lab.training.stopwatch import Stopwatch
from hinged.lab.training.training_result import OnEpoch


@dataclass
class Progress(Callback):
    """Collects what happens in each epoch.

    The module that is trained has `score` and `model`, as `hinged.lab.training.fit` has it.

    Attributes:
        data: the data set.
        on_epoch: called with the number of epochs finished.
        loss: mean loss of each epoch; of several processes, of all.
        test_scores: the metric on the test split after each epoch.
        idle: dead and dormant units after each epoch, on samples of the test split.
        step_seconds: what each step took.
        earlier_seconds: wall time before a resumed checkpoint.
    """

    data: DataSet
    on_epoch: OnEpoch | None
    loss: list[float] = field(default_factory=list)
    test_scores: list[float] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    earlier_seconds: float = 0.0
    _begun: float = field(default_factory=time.perf_counter)
    _losses: list[Tensor] = field(default_factory=list)
    _watch: Stopwatch = field(default_factory=Stopwatch)

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Make sure that all processes go on from the same epoch."""
        own = torch.tensor(float(trainer.current_epoch), device=module.device)
        if trainer.strategy.reduce(own, reduce_op="mean").item() != trainer.current_epoch:
            raise errors.RunFolderError(
                "The processes of this training do not see the same checkpoint. Give them all one "
                "folder, on a disk that they share."
            )

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self._watch.start()

    def on_train_batch_end(self, *arguments: Any) -> None:
        """Stop it, and keep the loss."""
        outputs = arguments[2]
        self._losses.append(outputs["loss"].detach())  # Fetched once an epoch: a GPU would wait.
        self._watch.stop()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Score the network and log it."""
        mean = statistics.fmean(torch.stack(self._losses).tolist())
        self._losses.clear()
        own = torch.tensor(mean, dtype=torch.float64, device=module.device)
        self.loss.append(trainer.strategy.reduce(own, reduce_op="mean").item())
        self.step_seconds += self._watch.seconds()
        with DeadUnitCounter(module.model) as units:
            self.test_scores.append(module.score(self.data.x_test, self.data.y_test))
        figures = {"loss": self.loss[-1], f"test_{self.data.metric}": self.test_scores[-1]}
        module.log_dict(figures, rank_zero_only=True)
        idle = units.idle()
        if idle is not None:
            self.idle.append(idle)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what was collected, for the checkpoint."""
        names = ("loss", "test_scores", "step_seconds")
        seconds = self.earlier_seconds + time.perf_counter() - self._begun
        idle = [tuple(shares) for shares in self.idle]  # Plain: all that checkpoints may hold.
        lists = {name: list(getattr(self, name)) for name in names}
        return {"seconds": seconds, "idle": idle, **lists}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.loss, self.test_scores = state["loss"], state["test_scores"]
        self.idle = [Idle(*shares) for shares in state["idle"]]
        self.step_seconds = state["step_seconds"]
        self.earlier_seconds = state["seconds"]
