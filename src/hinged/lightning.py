"""Callbacks for `lightning.Trainer`: warming curves up, logging what they do, recording them.

Needs the extra: `pip install 'hinged[lab]'`, or `lightning` alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors

errors.require_extra("lab", ["lightning"])

from hinged.lab._torchvision_operators import declare_missing  # noqa: E402  (after the check above)

declare_missing()

from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import Callback  # noqa: E402

from hinged.curve import Curve  # noqa: E402
from hinged.model import (  # noqa: E402
    DelayedCalibration,
    History,
    LayerStatistics,
    calibrate_after,
    collect_statistics,
    copy_curves,
)
from hinged.model.observation.diagnose import diagnosis  # noqa: E402
from hinged.model.observation.layer_statistics import Collector, merged  # noqa: E402
from hinged.nn import curve_layers  # noqa: E402

FIGURES = ("dead", "dormant", "lines_hit", "outside", "lipschitz", "drift")


class CurveCalibration(Callback):
    """Freezes curves for the first steps of training, then calibrates them: `hinged.calibrate_after`.

    Steps are those of the optimisers (`trainer.global_step`). A training resumed from a checkpoint
    goes on where it was; with `hinges=` the model must be built with the new number to be resumed.

    Args:
        steps: how many steps curves are frozen, or their share of the training.
        watched: how many of those steps, the last ones, are watched.
        where: `spread`, `coverage`, `placement`, `hinges` and `per_channel` of `hinged.calibrate`.

    Attributes:
        calibrate_after: the recipe under way, with what calibrating did; None before training.
    """

    def __init__(self, steps: int | float = 0.05, *, watched: int = 20, **where: Any) -> None:
        self.steps, self.watched, self.where = steps, watched, where
        self.calibrate_after: DelayedCalibration | None = None
        self._state: dict[str, int] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the curves."""
        total = trainer.estimated_stepping_batches if isinstance(self.steps, float) else None
        self.calibrate_after = calibrate_after(
            pl_module,
            self.steps,
            total=total,
            watched=self.watched,
            optimizers=trainer.optimizers,
            **self.where,
        )
        if self._state is not None:
            self.calibrate_after.load_state_dict(self._state)
            self._state = None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Keep the optimiser from moving the curves."""
        if self.calibrate_after is not None:
            self.calibrate_after.drop_gradients()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count the steps that were taken."""
        if self.calibrate_after is None:
            return
        while not self.calibrate_after.done and self.calibrate_after.count < trainer.global_step:
            self.calibrate_after.step()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave no hooks behind a training that ended early."""
        if self.calibrate_after is not None:
            self.calibrate_after.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps taken, for the checkpoint."""
        return {} if self.calibrate_after is None else dict(self.calibrate_after.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again when training starts."""
        self._state = state_dict or None


class CurveMonitor(Callback):
    """Logs what `hinged.diagnose` finds, layer by layer, through whatever loggers the Trainer has.

    The figures are `curves/LAYER/dead` (a count), `dormant`, `lines_hit`, `outside` (shares),
    `lipschitz` (the steepest slope) and `drift` (the largest distance from the start); callbacks
    such as `EarlyStopping` can monitor them. They are those of the first validation batches, seen
    in the validation's own forward passes, or of a batch of yours, in evaluation mode as well. With
    several processes they are those of the data of all.

    Args:
        data: what `hinged.diagnose` takes, for which the LightningModule must have a `forward`; the
            validation batches by default.
        every_n_epochs: how many epochs pass from one look to the next.
        batches: how many validation batches to look at.
        figures: which figures to log.

    Raises:
        UnknownNameError: an unknown figure.
        ArgumentError: when training starts, neither data nor a validation.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        every_n_epochs: int = 1,
        batches: int = 8,
        figures: tuple[str, ...] = FIGURES,
    ) -> None:
        for name in figures:
            if name not in FIGURES:
                call = "hinged.lightning.CurveMonitor(figures=...)"
                raise errors.unknown_name(call, name, FIGURES)
        self.data = data
        self.every_n_epochs = every_n_epochs
        self.batches = batches
        self.figures = figures
        self.start: dict[str, Curve] | None = None
        self._collector: Collector[LayerStatistics] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the start, for the drift."""
        if self.data is None and not trainer.enable_validation:
            got, hint = "a training without validation", "give a batch to look at as data="
            raise errors.ArgumentError(errors.message("hinged.lightning.CurveMonitor", got, hint))
        if self.start is None:
            self.start = copy_curves(pl_module)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Look at the first batches."""
        first = self._collector is None and batch_idx == 0
        if first and self.data is None and self._due(trainer):
            self._collector = Collector(curve_layers(pl_module, "CurveMonitor"), LayerStatistics.of)
        if self._collector is not None and batch_idx >= self.batches:
            self._collector.remove()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what the validation batches show."""
        if self._collector is not None:
            self._collector.remove()
            self._log(
                pl_module, merged(self._collector.layers, self._collector.seen, LayerStatistics.of)
            )
            self._collector = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what the batch given shows."""
        if self.data is not None and self._due(trainer):
            layers = curve_layers(pl_module, "CurveMonitor")
            with _evaluating(pl_module):
                seen = collect_statistics(pl_module, self.data)
            self._log(pl_module, merged(layers, seen, LayerStatistics.of))

    def state_dict(self) -> dict[str, Any]:
        """Return the start, so that the drift of a resumed training is that of the whole."""
        if self.start is None:
            return {}
        return {name: vars(curve) for name, curve in self.start.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the start of the training that is resumed."""
        self.start = {name: Curve(**parts) for name, parts in state_dict.items()} or None

    def _due(self, trainer: Trainer) -> bool:
        finished = trainer.current_epoch + 1
        return not trainer.sanity_checking and finished % self.every_n_epochs == 0

    def _log(self, pl_module: LightningModule, seen: dict[str, LayerStatistics]) -> None:
        found = diagnosis(curve_layers(pl_module, "CurveMonitor"), seen, self.start)
        for name, figures in found.figures().items():
            for figure in self.figures:
                value = figures[figure]
                if isinstance(value, int | float):
                    pl_module.log(f"curves/{name}/{figure}", float(value), sync_dist=True)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and each part back into its own."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


class CurveRecorder(Callback):
    """Records the curves through training, for `hinged.animate`.

    The history is saved with every checkpoint and at the end; a training resumed from a checkpoint
    goes on with it.

    Args:
        path: where the history is saved, `Trainer.default_root_dir` being where relative paths
            begin; not at all where None.
        every_n_steps: how many steps of the optimiser pass from one record to the next.
        channels: how many channels of a layer to keep, all by default.

    Attributes:
        history: a `hinged.History`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = "curves.safetensors",
        *,
        every_n_steps: int = 100,
        channels: int | None = None,
    ) -> None:
        self.path = path
        self.every_n_steps = every_n_steps
        self.history = History(channels)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the start, or go on with what was saved."""
        path = self._path(trainer)
        if trainer.global_step and not self.history.frames and path is not None and path.exists():
            self.history = History.load(path)
        self._record(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Record the curves where it is time."""
        last = self.history.steps[-1] if self.history.steps else -self.every_n_steps
        if trainer.global_step - last >= self.every_n_steps:
            self._record(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the history beside the checkpoint."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the end and save the history."""
        self._record(trainer, pl_module)
        self._save(trainer)

    def _record(self, trainer: Trainer, model: nn.Module) -> None:
        self.history.record(model, trainer.global_step)

    def _path(self, trainer: Trainer) -> Path | None:
        return None if self.path is None else Path(trainer.default_root_dir) / self.path

    def _save(self, trainer: Trainer) -> None:
        path = self._path(trainer)
        if path is not None and trainer.is_global_zero and self.history.frames:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.history.save(path)
