"""Callbacks for `lightning.Trainer` that calibrate, monitor and record curves.

Needs an extra: `pip install 'hinged[lab]'`, or `lightning` alone.
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
from hinged.model.observation.diagnose import diagnose_layers  # noqa: E402
from hinged.model.observation.layer_statistics import (  # noqa: E402
    StatisticsCollector,
    merge_layers_across_processes,
)
from hinged.nn import curve_layers  # noqa: E402

FIGURES = ("dead", "dormant", "lines_hit", "outside", "lipschitz", "drift")
MONITOR = "hinged.lightning.CurveMonitor"


class CurveCalibration(Callback):
    """Calls `hinged.calibrate_after` in a training by Lightning.

    Curves are frozen for the first steps of training, then calibrated and trained. Steps are those
    of the optimisers (`trainer.global_step`). A training resumed from a checkpoint continues where
    it stopped. To resume a training with `hinges=`, build the model with the new number of hinges.

    Args:
        steps: how many steps curves are frozen, or their share of the training.
        observed_steps: during how many steps, the last of the frozen ones, inputs are observed.
        spread, coverage, placement, hinges, sharing: as in `hinged.calibrate`.

    Attributes:
        calibration: what `hinged.calibrate_after` returned; None before training.
    """

    def __init__(
        self,
        steps: int | float = 0.05,
        *,
        observed_steps: int = 20,
        spread: float = 3.0,
        coverage: float | None = None,
        placement: str = "uniform",
        hinges: int | None = None,
        sharing: str | None = None,
    ) -> None:
        self.steps = steps
        self.calibration: DelayedCalibration | None = None
        self._settings: dict[str, Any] = {
            "observed_steps": observed_steps,
            "spread": spread,
            "coverage": coverage,
            "placement": placement,
            "hinges": hinges,
            "sharing": sharing,
        }
        self._loaded_state: dict[str, int] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the curves."""
        total = trainer.estimated_stepping_batches if isinstance(self.steps, float) else None
        self.calibration = calibrate_after(
            pl_module, self.steps, total=total, optimizers=trainer.optimizers, **self._settings
        )
        if self._loaded_state is not None:
            self.calibration.load_state_dict(self._loaded_state)
            self._loaded_state = None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Drop the gradients of frozen curves."""
        if self.calibration is not None:
            self.calibration.drop_gradients()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count the steps that were taken."""
        if self.calibration is None:
            return
        while not self.calibration.done and self.calibration.count < trainer.global_step:
            self.calibration.step()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove all hooks, also after a training that ended early."""
        if self.calibration is not None:
            self.calibration.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps taken, for the checkpoint."""
        return {} if self.calibration is None else dict(self.calibration.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until training starts."""
        self._loaded_state = state_dict or None


class CurveMonitor(Callback):
    """Logs the figures of `hinged.diagnose` for each layer, with the loggers of the Trainer.

    The figures are `curves/LAYER/dead` (a count), `dormant`, `lines_hit`, `outside` (shares),
    `lipschitz` (the steepest slope) and `drift` (the largest distance from the start). Callbacks
    such as `EarlyStopping` can monitor them. By default they are measured on the first validation
    batches, in the forward passes of the validation. With `data` they are measured on that data, in
    evaluation mode. With several processes they are measured on the data of all.

    Args:
        data: data as in `hinged.diagnose`, for which the LightningModule must have a `forward`; by
            default the validation batches.
        every_n_epochs: number of epochs between two measurements.
        batches: how many validation batches to use.
        figures: which figures to log.

    Raises:
        UnknownNameError: an unknown figure.
        ArgumentError: when training starts, if there is neither data nor a validation.
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
                raise errors.unknown_name(f"{MONITOR}(figures=...)", name, FIGURES)
        self.data = data
        self.every_n_epochs = every_n_epochs
        self.batches = batches
        self.figures = figures
        self.start: dict[str, Curve] | None = None
        self._collector: StatisticsCollector[LayerStatistics] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the curves at the start, to measure the drift."""
        if self.data is None and not trainer.enable_validation:
            got, hint = "a training without validation", "pass a batch to measure on as data="
            raise errors.ArgumentError(errors.message(MONITOR, got, hint))
        if self.start is None:
            self.start = copy_curves(pl_module)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Collect statistics of the first batches."""
        first = self._collector is None and batch_idx == 0
        if first and self.data is None and self._due(trainer):
            self._collector = StatisticsCollector(
                curve_layers(pl_module, MONITOR), LayerStatistics.of
            )
        if self._collector is not None and batch_idx >= self.batches:
            self._collector.remove()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the figures of the validation batches."""
        if self._collector is not None:
            self._collector.remove()
            self._log(pl_module, self._collector.statistics)
            self._collector = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the figures of the given data."""
        if self.data is not None and self._due(trainer):
            with _evaluation_mode(pl_module):
                statistics = collect_statistics(pl_module, self.data)
            self._log(pl_module, statistics)

    def state_dict(self) -> dict[str, Any]:
        """Return the curves at the start, so that a resumed training measures the whole drift."""
        if self.start is None:
            return {}
        return {name: vars(curve) for name, curve in self.start.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the curves at the start of the resumed training."""
        self.start = {name: Curve(**parts) for name, parts in state_dict.items()} or None

    def _due(self, trainer: Trainer) -> bool:
        finished = trainer.current_epoch + 1
        return not trainer.sanity_checking and finished % self.every_n_epochs == 0

    def _log(self, pl_module: LightningModule, statistics: dict[str, LayerStatistics]) -> None:
        layers = curve_layers(pl_module, MONITOR)
        of_all_processes = merge_layers_across_processes(layers, statistics, LayerStatistics.of)
        for name, figures in (
            diagnose_layers(layers, of_all_processes, self.start).figures().items()
        ):
            for figure in self.figures:
                value = figures[figure]
                if isinstance(value, int | float):
                    pl_module.log(f"curves/{name}/{figure}", float(value), sync_dist=True)


@contextlib.contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and afterwards each part back into its own mode."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


class CurveRecorder(Callback):
    """Records the curves during training, for `hinged.animate`.

    The history is saved with every checkpoint and at the end. A training resumed from a checkpoint
    continues it.

    Args:
        path: the file for the history, relative to `Trainer.default_root_dir`; None to save
            nothing.
        every_n_steps: number of optimiser steps between two records.
        channels: how many channels of each layer to record; by default all.

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
        """Record the start, or continue the saved history."""
        path = self._path(trainer)
        if trainer.global_step and not self.history.frames and path is not None and path.exists():
            self.history = History.load(path)
        self.history.record(pl_module, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Record the curves every `every_n_steps` steps."""
        last = self.history.steps[-1] if self.history.steps else -self.every_n_steps
        if trainer.global_step - last >= self.every_n_steps:
            self.history.record(pl_module, trainer.global_step)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the history with the checkpoint."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the end and save the history."""
        self.history.record(pl_module, trainer.global_step)
        self._save(trainer)

    def _path(self, trainer: Trainer) -> Path | None:
        return None if self.path is None else Path(trainer.default_root_dir) / self.path

    def _save(self, trainer: Trainer) -> None:
        path = self._path(trainer)
        if path is not None and trainer.is_global_zero and self.history.frames:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.history.save(path)
