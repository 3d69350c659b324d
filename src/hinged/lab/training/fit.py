"""Trains one network with Lightning and measures its costs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import nn

from hinged import errors
from hinged.lab.data import Batches, DataSet
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.experiment.torchrun import TorchrunProcess, torchrun_process
from hinged.lab.training.checkpoints import AtomicCheckpointIO
from hinged.lab.training.epoch_history import EpochHistory
from hinged.lab.training.lightning_contexts import quiet_lightning, restore_determinism
from hinged.lab.training.second_order import check_second_order, train_second_order
from hinged.lab.training.training_module import TrainingModule
from hinged.lab.training.training_result import OnEpoch, TrainingResult
from hinged.lightning import CurveCalibration, CurveMonitor
from hinged.optim import METHODS

_LAST_CHECKPOINT = Path("last.ckpt")
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed"}
_RANK_SEED_STEP = 0x9E3779B1
"""Distance between the seeds of two processes. The CPU's generator takes 32 bits, so it is below
2^32."""
_MONITORED_SAMPLES = 100
"""Training samples on which a logger's figures about the curves are computed."""


def train_network(
    model: nn.Module,
    data: DataSet,
    settings: TrainingSettings,
    seed: int,
    *,
    on_epoch: OnEpoch | None = None,
    checkpoints: Path | None = None,
    logger: Logger | None = None,
) -> TrainingResult:
    """Train a network on the training split and score it on both splits.

    If `torchrun` started several processes, each must call this with the same arguments. Each
    trains on its share of every batch. The result is that of the first process; the statistics of
    normalisation differ between processes.

    Args:
        model: maps a batch of inputs to `(N, data.outputs)`, or `(N, data.outputs, rows, columns)`.
        data: the data set.
        settings: optimizer and schedule.
        seed: decides the order of the samples and the random numbers of layers such as dropout.
        on_epoch: called with the number of finished epochs.
        checkpoints: a folder for one checkpoint per epoch. Training resumes from the last one in
            it. The methods of `hinged.optim` write none, since they take seconds.
        logger: gets loss, score, learning rates and figures about the curves after each epoch. The
            methods of `hinged.optim` log nothing.

    Returns:
        The trained network with its scores and costs.
    """
    if settings.optimizer in METHODS:
        return train_second_order(model, data, settings, seed, on_epoch=on_epoch)
    module, process = TrainingModule(model, data, settings), torchrun_process()
    history = EpochHistory(data, on_epoch)
    callbacks = [
        history,
        SeedEpochs(seed, process.rank),
        *_optional_callbacks(module, checkpoints, logger),
    ]
    started = time.perf_counter()
    devices = list(range(torch.cuda.device_count()))
    with quiet_lightning(), restore_determinism(), torch.random.fork_rng(devices):
        trainer = _trainer(settings, process, callbacks, checkpoints, logger)
        batches = Batches(
            data,
            settings.batch_size,
            seed,
            epoch=lambda: trainer.current_epoch,
            augmentations=settings.augment,
            device=trainer.strategy.root_device,
            process=process,
        )
        trainer.fit(module, batches, ckpt_path=_last_checkpoint(checkpoints))
    seconds = history.earlier_seconds + time.perf_counter() - started
    model = module.model.cpu().eval()
    return TrainingResult(
        model=model,
        train_score=module.score(data.x_train, data.y_train),
        test_score=history.test_scores[-1],
        loss=history.loss,
        test_scores=history.test_scores,
        dead_units=history.dead_units,
        step_ms=1000 * statistics.median(history.step_seconds),
        seconds=seconds,
    )


def check_training(model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
    """Raise an error if a network cannot be trained with these settings.

    Raises:
        ArgumentError: fewer than two samples of a batch for each process, `calibrate_after` with
            `compile`, `compile` or several processes with a method of `hinged.optim`, or an error
            of `hinged.lab.training.second_order.check_second_order`.
    """
    processes = torchrun_process().world_size
    if settings.batch_size // processes < 2:
        got = f"{settings.batch_size} in {processes} processes"
        hint = "give 2 samples to each"
        raise errors.ArgumentError(errors.message("training.batch_size", got, hint))
    if settings.compile and settings.calibrate_after:
        got = f"training.compile with training.calibrate_after={settings.calibrate_after:g}"
        hint = "take one of them: the inputs of curves cannot be observed in compiled code"
        raise errors.ArgumentError(errors.message("training", got, hint))
    if settings.optimizer in METHODS:
        call = f"training.optimizer={settings.optimizer}"
        if settings.compile:
            hint = "leave training.compile out: it has no effect on this method"
            raise errors.ArgumentError(errors.message(call, "training.compile", hint))
        if processes > 1:
            hint = "it trains in one: start without torchrun"
            raise errors.ArgumentError(errors.message(call, f"{processes} processes", hint))
        check_second_order(model, data, settings)


class SeedEpochs(Callback):
    """Seeds torch's random numbers at the start of each epoch, for layers such as dropout.

    Trainings with the same seed then draw the same numbers, also after they were resumed. The
    processes of one training draw different numbers.
    """

    def __init__(self, seed: int, rank: int) -> None:
        self.seed, self.rank = seed, rank

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        """Seed torch's random numbers."""
        torch.manual_seed(
            1_000_003 * self.seed + trainer.current_epoch + _RANK_SEED_STEP * self.rank
        )


def _trainer(
    settings: TrainingSettings,
    process: TorchrunProcess,
    callbacks: list[Callback],
    checkpoints: Path | None,
    logger: Logger | None,
) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=process.local_world_size,
        num_nodes=process.machines,
        strategy="auto" if process.world_size == 1 else "ddp_find_unused_parameters_true",
        deterministic=True,
        callbacks=callbacks,
        precision=_PRECISIONS[settings.precision],
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[AtomicCheckpointIO()],
        logger=logger or False,
        log_every_n_steps=1,
        enable_checkpointing=checkpoints is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _optional_callbacks(
    module: TrainingModule, checkpoints: Path | None, logger: Logger | None
) -> list[Callback]:
    """Return the callbacks for calibration, checkpoints and logging."""
    callbacks: list[Callback] = []
    data, settings = module.data, module.settings
    if settings.calibrate_after and module.has_curves:
        callbacks.append(CurveCalibration(settings.calibrate_after))
    if checkpoints is not None:
        name = _LAST_CHECKPOINT.stem
        callbacks.append(
            ModelCheckpoint(checkpoints, name, every_n_epochs=1, enable_version_counter=False)
        )
    if logger is not None:
        callbacks.append(LearningRateMonitor("epoch"))
        if module.has_curves:
            callbacks.append(CurveMonitor(data.to_inputs(data.x_train[:_MONITORED_SAMPLES])))
    return callbacks


def _last_checkpoint(checkpoints: Path | None) -> str | None:
    if checkpoints is None or not (checkpoints / _LAST_CHECKPOINT).exists():
        return None
    return str(checkpoints / _LAST_CHECKPOINT)
