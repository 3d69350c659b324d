"""Training one network with Lightning, and what it cost."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from hinged import errors
from hinged.lab.data import Batch, Batches, DataSet
from hinged.lab.experiment.ranks import Ranks, ranks
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.networks.activations import TRAINED
from hinged.lab.training import second_order
from hinged.lab.training.checkpoints import WholeCheckpoints
from hinged.lab.training.freezing import set_training
from hinged.lab.training.progress import Progress
from hinged.lab.training.training_result import OnEpoch, TrainingResult
from hinged.lightning import CurveCalibration, CurveMonitor
from hinged.nn import PiecewiseLinear, param_groups, penalty
from hinged.optim import METHODS

_LAST = Path("last.ckpt")
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed"}
_MOMENTUM = 0.9
_PARTS = {"cpu": 125}
"""Samples scored at once: on a CPU, images in parts of 1,000 took twice as long."""
_PART = 1000
"""On other devices."""
_APART = 0x9E3779B1
"""Between the seeds of processes; below 2^32, since the CPU's generator takes no more bits."""
_LOOKED_AT = 100
"""Samples by which a logger is told what curves do."""


def train(
    model: nn.Module,
    data: DataSet,
    settings: TrainingSettings,
    seed: int,
    *,
    on_epoch: OnEpoch | None = None,
    checkpoints: Path | None = None,
    logger: Logger | None = None,
) -> TrainingResult:
    """Train `model` on the training split and score it on both.

    Where `torchrun` started several processes, each must call it with the same arguments; each
    takes its share of every batch. The outcome is that of the first: what normalisation has seen
    of its share differs between them.

    Args:
        model: maps a batch of inputs to `(N, data.outputs)`, or `(N, data.outputs, rows, columns)`.
        data: the data set.
        settings: optimiser and schedule.
        seed: decides the order of the data, and what layers such as dropout draw.
        on_epoch: called with the number of epochs finished.
        checkpoints: a folder for a checkpoint an epoch; training continues from the last one there.
            The methods of `hinged.optim` leave none: they take seconds.
        logger: is told loss, score, learning rates and what curves do, epoch by epoch; nothing by
            the methods of `hinged.optim`.

    Returns:
        The trained network with its scores and costs.
    """
    if settings.optimizer in METHODS:
        return second_order.train(model, data, settings, seed, on_epoch=on_epoch)
    task, processes = _Task(model, data, settings), ranks()
    progress = Progress(data, on_epoch)
    callbacks = [progress, _Draws(seed, processes.rank), *_callbacks(task, checkpoints, logger)]
    started = time.perf_counter()
    with _quiet(), _deterministic(), torch.random.fork_rng(_gpus()):
        trainer = _trainer(settings, processes, callbacks, checkpoints, logger)
        batches = Batches(
            data,
            settings.batch_size,
            seed,
            epoch=lambda: trainer.current_epoch,
            augmentations=settings.augment,
            device=trainer.strategy.root_device,
            ranks=processes,
        )
        trainer.fit(task, batches, ckpt_path=_last_checkpoint(checkpoints))
    seconds = progress.earlier_seconds + time.perf_counter() - started
    model = task.model.cpu().eval()
    return TrainingResult(
        model=model,
        train_score=task.score(data.x_train, data.y_train),
        test_score=progress.test_scores[-1],
        loss=progress.loss,
        test_scores=progress.test_scores,
        idle=progress.idle,
        step_ms=1000 * statistics.median(progress.step_seconds),
        seconds=seconds,
    )


def check(model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
    """Raise where the network cannot be trained with these settings.

    Raises:
        ArgumentError: as `hinged.lab.training.second_order.check`; a method of `hinged.optim` in several
            processes, or batches with less than two samples for each; a warm-up of a compiled
            network.
    """
    each = settings.batch_size // ranks().world
    if each < 2:
        got = f"training.batch_size={settings.batch_size} in {ranks().world} processes"
        raise errors.ArgumentError(errors.message("hinged train", got, "give 2 samples to each"))
    if settings.compile and settings.calibrate_after:
        got = f"training.compile with training.calibrate_after={settings.calibrate_after:g}"
        hint = "take one of them: the inputs of curves cannot be watched in compiled code"
        raise errors.ArgumentError(errors.message("hinged", got, hint))
    if settings.optimizer in METHODS:
        if settings.compile:
            hint = "leave training.compile out: it compiles nothing there"
            raise errors.ArgumentError(errors.message("hinged", settings.optimizer, hint))
        if ranks().world > 1:
            got = f"the optimizer {settings.optimizer} in {ranks().world} processes"
            hint = "it trains in one: start without torchrun"
            raise errors.ArgumentError(errors.message("hinged train", got, hint))
        second_order.check(model, data, settings)


def autocast(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """Return the precision of a training as a context."""
    low = settings.precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


def laid_out(x: Tensor, settings: TrainingSettings) -> Tensor:
    """Return a batch in the memory layout of a training."""
    if settings.channels_last and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x


def memory_for_backward(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that one forward pass on `x` keeps for the backward pass, the weights
    themselves left out."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = set_training(model)(x)  # Held, so that no storage is freed and counted as another.
    model.load_state_dict(buffers, strict=False)
    del output
    return sum(kept.values())


class _Task(lightning.LightningModule):
    """The loss, the optimiser and the schedule."""

    def __init__(self, model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
        super().__init__()
        if settings.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = set_training(model)
        self.data = data
        self.settings = settings
        self.has_curves = any(isinstance(layer, PiecewiseLinear) for layer in model.modules())
        self._outputs = torch.compile(self._called) if settings.compile else self._called

    def forward(self, x: Tensor) -> Tensor:
        # In evaluation not the compiled one: observers that hook into it would be compiled too.
        outputs = self._outputs if self.training else self._called
        return outputs(laid_out(x, self.settings))

    def _called(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.model(x)
        return outputs

    def train(self, mode: bool = True) -> _Task:
        super().train(mode)
        set_training(self.model, mode)
        return self

    def training_step(self, batch: Batch) -> Tensor:
        x, y = batch
        smoothing = self.settings.label_smoothing
        return self.data.problem.loss(self(x), y, smoothing) + self._curvature()

    def score(self, x: Tensor, y: Tensor) -> float:
        """Return the data set's metric on rows of a split, in evaluation mode and in the precision
        of the training."""
        was_training = self.model.training
        device = next(self.model.parameters()).device
        self.model.eval()
        size = _PARTS.get(device.type, _PART)
        with torch.no_grad(), autocast(device, self.settings):
            parts = (self.data.scaled(part.to(device)) for part in x.split(size))
            outputs = torch.cat(
                [self.model(laid_out(part, self.settings)).float().cpu() for part in parts]
            )
        set_training(self.model, was_training)
        return self.data.score(outputs, y)

    def _curvature(self) -> Tensor | float:
        weight = self.settings.curve_penalty
        return weight * penalty(self.model) if weight and self.has_curves else 0.0

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        settings = self.settings
        groups = param_groups(
            self.model,
            settings.lr,
            settings.weight_decay,
            curve_lr=settings.curve_lr_factor * settings.lr,
            curve_types=TRAINED,
        )
        optimizer: torch.optim.Optimizer
        if settings.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=_MOMENTUM, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
            cycle_momentum=settings.optimizer == "adamw",
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class _Draws(Callback):
    """Seeds what layers such as dropout draw, anew for each epoch: pairs and resumed trainings draw
    the same, and processes that share a training do not."""

    def __init__(self, seed: int, rank: int) -> None:
        self.seed, self.rank = seed, rank

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        torch.manual_seed(1_000_003 * self.seed + trainer.current_epoch + _APART * self.rank)


def _trainer(
    settings: TrainingSettings,
    processes: Ranks,
    callbacks: list[Callback],
    checkpoints: Path | None,
    logger: Logger | None,
) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=processes.local_world,
        num_nodes=processes.machines,
        strategy="auto" if processes.world == 1 else "ddp_find_unused_parameters_true",
        deterministic=True,
        callbacks=callbacks,
        precision=_PRECISIONS[settings.precision],
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[WholeCheckpoints()],
        logger=logger or False,
        log_every_n_steps=1,
        enable_checkpointing=checkpoints is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _callbacks(task: _Task, checkpoints: Path | None, logger: Logger | None) -> list[Callback]:
    """Return what a training is accompanied by where it is asked for."""
    found: list[Callback] = []
    if task.settings.calibrate_after and task.has_curves:
        found.append(CurveCalibration(task.settings.calibrate_after))
    if checkpoints is not None:
        found.append(
            ModelCheckpoint(checkpoints, _LAST.stem, every_n_epochs=1, enable_version_counter=False)
        )
    if logger is not None:
        found.append(LearningRateMonitor("epoch"))
        if task.has_curves:
            found.append(CurveMonitor(task.data.scaled(task.data.x_train[:_LOOKED_AT])))
    return found


def _last_checkpoint(checkpoints: Path | None) -> str | None:
    if checkpoints is None or not (checkpoints / _LAST).exists():
        return None
    return str(checkpoints / _LAST)


def _gpus() -> list[int]:
    return list(range(torch.cuda.device_count()))


@contextmanager
def _deterministic() -> Iterator[None]:
    """Undo afterwards that Lightning lets torch use deterministic algorithms alone.

    Torch would then also fill all memory before its first use, to show who reads what was never
    written: 48.5 instead of 45.8 ms a step of the shallow CNN on 128 images, best of seven.
    """
    before = torch.are_deterministic_algorithms_enabled()
    flags: Any = torch.utils.deterministic
    filled = flags.fill_uninitialized_memory
    flags.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        flags.fill_uninitialized_memory = filled


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back Lightning's hints about worker processes and devices: the data are in memory."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            # Frozen normalisation is, on purpose.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
            # Lightning's own use of a torch function that torch has since renamed.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
