"""Callbacks for `lightning.Trainer` that calibrate, monitor and record curves.

The callbacks need the package `lightning`; `pip install 'hinged[lab]'` installs it.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors

errors.require_extra("lab", ["lightning"])

from hinged._torchvision_operators import declare_missing  # noqa: E402  (after the check above)

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
from hinged.nn.travel import (  # noqa: E402
    describe_short_travel,
    farthest_travel,
    largest_rate,
)

FIGURES = ("dead", "dormant", "lines_hit", "outside", "lipschitz", "drift", "travel")
MONITOR = "hinged.lightning.CurveMonitor"


class CurveCalibration(Callback):
    """Callback that moves the hinges of curves to the range of their inputs early in the training.

    It calls `hinged.calibrate_after`. For the first `steps` optimizer steps the curves are frozen,
    so they keep their start function. During the last `observed_steps` of these steps, the callback
    observes the inputs of the curves. Then it moves the hinges to the observed inputs, and the
    optimizer trains the curves.

    Steps are counted by `trainer.global_step`. A training that is resumed from a checkpoint
    continues the count. Inputs observed before a checkpoint are not saved. To resume a training in
    which `hinges` has changed the number of hinges, build the model with the new number.

    Args:
        steps: for how many optimizer steps the curves are frozen. A number below 1 is a fraction of
            the steps of the whole training.
        observed_steps: number of frozen steps, the last ones, during which inputs are observed.
        spread: half the width of the new range (first to last hinge), in standard deviations of the
            inputs. The middle of the range is the mean of the inputs.
        coverage: fraction of the inputs that the new range contains. Equal fractions of the inputs
            lie below and above the range. If `coverage` is given, `spread` is not used.
        placement: how hinges are placed in the range: `"uniform"` for equal distances, `"quantile"`
            for equal numbers of inputs between them, or `"search"` for the smallest change of the
            curve.
        hinges: new number of hinges of each curve. None keeps the number.
        sharing: `"channel"` for separate hinges of each channel, `"layer"` for the same hinges in
            all channels of a layer. None leaves this unchanged in each layer.

    Attributes:
        calibration: the `DelayedCalibration` that `hinged.calibrate_after` returned; None before
            the training. Its attribute `result` reports the changes of each layer.

    Raises:
        ArgumentError: when the training starts, if a setting is not valid or the model has no
            curves.
        UnknownNameError: when the training starts, if `placement` or `sharing` does not exist.

    Warns:
        NoInputsSeenWarning: if no inputs of curves were observed. The hinges then stay where they
            are.
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

    @property
    def state_key(self) -> str:
        """The name of this callback in checkpoints, the same as before the class was renamed."""
        return "CurveWarmUp"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze the curves, or continue from the state of a checkpoint."""
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
        """Drop the gradients of the curves while they are frozen."""
        if self.calibration is not None:
            self.calibration.drop_gradients()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count the optimizer steps of this batch. At the end of the last frozen step, move the
        hinges."""
        if self.calibration is None:
            return
        while not self.calibration.done and self.calibration.count < trainer.global_step:
            self.calibration.step()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove all hooks, also after a training that ended early."""
        if self.calibration is not None:
            self.calibration.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the number of optimizer steps so far, for the checkpoint."""
        return {} if self.calibration is None else dict(self.calibration.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state from a checkpoint; `on_train_start` continues from this state."""
        self._loaded_state = state_dict or None


class CurveMonitor(Callback):
    """Callback that measures the curves of each layer and logs the figures with the Trainer's
    loggers.

    For each layer with the name `LAYER` it logs, as `curves/LAYER/FIGURE`:

    - `dead`: the number of channels with the same output for all data;
    - `dormant`: the fraction of channels with very small outputs compared with the whole layer;
    - `lines_hit`: the fraction of the pieces and tails of curves that contain inputs;
    - `outside`: the fraction of inputs outside the range from the first to the last hinge;
    - `lipschitz`: the largest absolute slope;
    - `drift`: the largest absolute difference between a curve now and at the start of the training;
    - `travel`: the root mean square of these differences over the inputs and channels, relative to
      the scale of the inputs.

    Before the training, it warns if the curves cannot travel far enough to change: if the sum of
    their learning rates over all steps of the schedule is below 0.1 (`hinged.param_groups`).

    Callbacks such as `EarlyStopping` can monitor these names. Without `data`, the figures are
    measured on the first validation batches, during the validation. With `data`, they are measured
    on that data after an epoch, in evaluation mode. With several processes, the figures are
    computed from the data of all processes together.

    Args:
        data: one batch (a tensor, a pair of inputs and targets, or a dictionary of keyword
            arguments) or an iterable of batches. The LightningModule must have a `forward` for it.
            None means the validation batches.
        every_n_epochs: number of epochs from one measurement to the next.
        batches: number of validation batches to use.
        figures: names of the figures to log.

    Attributes:
        start: the curves at the start of the training, by layer name; None before the training.

    Raises:
        UnknownNameError: if a name in `figures` does not exist.
        ArgumentError: when the training starts, if `data` is None and the training has no
            validation.

    Warns:
        ShortTravelWarning: when the training starts, if the curves cannot travel far enough.
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
        """Copy the curves at the start of the training, to measure the drift later."""
        if self.data is None and not trainer.enable_validation:
            got = "a training without validation"
            hint = "pass a batch as data=, or give the Trainer validation batches"
            raise errors.ArgumentError(errors.message(MONITOR, got, hint))
        if self.start is None:
            self.start = copy_curves(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if the curves cannot travel far enough. A resumed training is not checked again."""
        if pl_module.automatic_optimization and not trainer.global_step and trainer.is_global_zero:
            _warn_of_short_travel(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Start to collect statistics at the first batch, and stop after `batches` batches."""
        first = self._collector is None and batch_idx == 0
        if first and self.data is None and self._due(trainer):
            self._collector = StatisticsCollector(
                curve_layers(pl_module, MONITOR), LayerStatistics.of
            )
        if self._collector is not None and batch_idx >= self.batches:
            self._collector.remove()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the figures that were measured on the validation batches."""
        if self._collector is not None:
            self._collector.remove()
            self._log(pl_module, self._collector.statistics)
            self._collector = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the figures on `data` and log them. Do nothing if `data` is None."""
        if self.data is not None and self._due(trainer):
            with _evaluation_mode(pl_module):
                statistics = collect_statistics(pl_module, self.data)
            self._log(pl_module, statistics)

    def state_dict(self) -> dict[str, Any]:
        """Return the curves at the start of the training, for the checkpoint.

        A resumed training then measures the drift from the same curves.
        """
        if self.start is None:
            return {}
        return {name: vars(curve) for name, curve in self.start.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the curves at the start of the training from a checkpoint."""
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


def _warn_of_short_travel(trainer: Trainer) -> None:
    """Warn of each optimizer whose curves can hardly change. An endless training has no warning."""
    if trainer.estimated_stepping_batches == math.inf:
        return
    steps = int(trainer.estimated_stepping_batches)
    configs = {id(config.scheduler.optimizer): config for config in trainer.lr_scheduler_configs}
    for optimizer in trainer.optimizers:
        schedule: dict[str, Any] = {}
        if (config := configs.get(id(optimizer))) is not None:
            per_epoch = trainer.num_training_batches / trainer.accumulate_grad_batches
            per_interval = math.ceil(min(per_epoch, steps)) if config.interval == "epoch" else 1
            schedule["scheduler"] = config.scheduler
            schedule["steps_per_call"] = config.frequency * per_interval
        travel = farthest_travel(optimizer, steps, **schedule)
        if travel is None:
            continue
        short = describe_short_travel(travel, steps, "curve_lr", largest_rate(optimizer))
        if short is not None:
            warnings.warn(f"`{MONITOR}`: {short}.", errors.ShortTravelWarning, stacklevel=2)


@contextlib.contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode during a block, and then restore the mode of each
    submodule."""
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


class CurveRecorder(Callback):
    """Callback that records the curves of a model during training, for `hinged.animate`.

    The record is a `hinged.History`. It is saved with every checkpoint and at the end of the
    training. A training that is resumed from a checkpoint continues the saved record.

    Args:
        path: the file for the history, relative to `Trainer.default_root_dir`. None means that no
            file is written.
        every_n_steps: number of optimizer steps from one record to the next.
        channels: number of channels of each layer to record, evenly spaced. None records all.

    Attributes:
        history: the `hinged.History` with the recorded curves.

    Raises:
        ArgumentError: if `channels` is below 1, or when the training starts, if the model has no
            curves.
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
        """Record the curves at the start. A resumed training first loads the saved history."""
        path = self._path(trainer)
        if trainer.global_step and not self.history.frames and path is not None and path.exists():
            self.history = History.load(path)
        self.history.record(pl_module, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Record the curves if `every_n_steps` optimizer steps have passed since the last
        record."""
        last = self.history.steps[-1] if self.history.steps else -self.every_n_steps
        if trainer.global_step - last >= self.every_n_steps:
            self.history.record(pl_module, trainer.global_step)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the history to its file when a checkpoint is saved."""
        self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the curves at the end, and save the history to its file."""
        self.history.record(pl_module, trainer.global_step)
        self._save(trainer)

    def _path(self, trainer: Trainer) -> Path | None:
        return None if self.path is None else Path(trainer.default_root_dir) / self.path

    def _save(self, trainer: Trainer) -> None:
        path = self._path(trainer)
        if path is not None and trainer.is_global_zero and self.history.frames:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.history.save(path)
