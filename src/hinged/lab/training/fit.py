"""The training of one network by Lightning, with its costs."""

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
from hinged.lab.data.validation_split import held_out_size, hold_out
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.experiment.torchrun import TorchrunProcess, torchrun_process
from hinged.lab.training.checkpoints import AtomicCheckpointIO, explain_damaged_checkpoint
from hinged.lab.training.epoch_history import EpochHistory
from hinged.lab.training.lightning_contexts import quiet_lightning, restore_determinism
from hinged.lab.training.second_order import check_second_order, train_second_order
from hinged.lab.training.training_module import TrainingModule
from hinged.lab.training.training_result import OnEpoch, TrainingResult
from hinged.lab.training.validation import Validation
from hinged.lightning import CurveCalibration, CurveMonitor
from hinged.optim import METHODS

_LAST_CHECKPOINT = Path("last.ckpt")
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed"}
_RANK_SEED_STEP = 0x9E3779B1
"""Difference between the seeds of processes with successive ranks. It is below 2^32, because the
random number generator of the CPU uses 32 bits of a seed."""
_MONITORED_SAMPLES = 100
"""Number of training samples from which `CurveMonitor` computes the figures for a logger."""


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
    """Train a network on the training split, and score it on the training and test split.

    With `settings.validation`, the samples that are held out belong to neither of these splits.
    With `settings.keep_best`, the network of the epoch with the best validation score is scored and
    returned.

    If `torchrun` started several processes, each process must call this function with the same
    arguments. Each process trains on its share of every batch. The running statistics of batch
    normalisation then differ between the processes. Use the result of process 0.

    Args:
        model: the network. It is trained in place. For `N` samples, its outputs have the shape `(N,
            data.outputs)`, or `(N, data.outputs, rows, columns)` for object detection.
        data: the data set.
        settings: optimizer, learning rate, epochs and all other settings of the training.
        seed: decides the order of the samples, the random numbers of layers such as dropout, and
            which samples are held out for validation.
        on_epoch: a function that is called after each epoch with the number of finished epochs.
            None calls nothing.
        checkpoints: the folder for checkpoints. One checkpoint is written after each epoch.
            Training resumes from the last checkpoint in the folder. None writes no checkpoints. The
            second-order methods of `hinged.optim` never write checkpoints, since they train only
            for seconds.
        logger: records loss, score, learning rates and figures of the curves after each epoch. None
            records nothing. The second-order methods of `hinged.optim` record nothing.

    Returns:
        A result that contains the trained network, its scores and its costs.

    Raises:
        ArgumentError: if a second-order method cannot train this network, or if too few samples
            would be held out for validation.
        RunFolderError: if a checkpoint cannot be written, if the last checkpoint is damaged or
            belongs to another training, or if the processes read different checkpoints.
    """
    if settings.optimizer in METHODS:
        return train_second_order(model, data, settings, seed, on_epoch=on_epoch)
    data, validation = _hold_out(data, settings, seed)
    module, history = TrainingModule(model, data, settings), EpochHistory(data, on_epoch)
    callbacks = [*([] if validation is None else [validation]), history]
    started = time.perf_counter()
    device = _run_epochs(module, seed, callbacks, checkpoints, logger)
    seconds = history.earlier_seconds + time.perf_counter() - started
    module.to(device)  # Lightning has moved the network to the CPU.
    best_epoch = None if validation is None else validation.restore_best(module.model)
    train_score = module.score(data.x_train, data.y_train)
    test_outputs = module.compute_outputs(data.x_test)
    return TrainingResult(
        model=module.model.cpu().eval(),
        train_score=train_score,
        test_score=history.test_scores[-1 if best_epoch is None else best_epoch - 1],
        loss=history.loss,
        test_scores=history.test_scores,
        dead_units=history.dead_units,
        step_ms=1000 * statistics.median(history.step_seconds),
        seconds=seconds,
        test_outputs=test_outputs,
        validation_scores=[] if validation is None else validation.scores,
        best_epoch=best_epoch,
    )


def _run_epochs(
    module: TrainingModule,
    seed: int,
    callbacks: list[Callback],
    checkpoints: Path | None,
    logger: Logger | None,
) -> torch.device:
    """Train the network of a module for all epochs that its last checkpoint has not had.

    Args:
        module: the network with its data and settings.
        seed: the seed of the training.
        callbacks: the callbacks to add to those that the settings need. They are called first.
        checkpoints: the folder for checkpoints, or None without checkpoints.
        logger: the logger of the training, or None without logging.

    Returns:
        The device on which the network was trained.
    """
    settings, process = module.settings, torchrun_process()
    callbacks = [
        *callbacks,
        SeedEpochs(seed, process.rank),
        *_optional_callbacks(module, checkpoints, logger),
    ]
    devices = list(range(torch.cuda.device_count()))
    with quiet_lightning(), restore_determinism(), torch.random.fork_rng(devices):
        trainer = _trainer(settings, process, callbacks, checkpoints, logger)
        device: torch.device = trainer.strategy.root_device
        batches = Batches(
            module.data,
            settings.batch_size,
            seed,
            epoch=lambda: trainer.current_epoch,
            augmentations=settings.augment,
            device=device,
            process=process,
            steps=settings.steps_per_epoch,
        )
        checkpoint = _last_checkpoint(checkpoints)
        with explain_damaged_checkpoint(checkpoint):
            trainer.fit(module, batches, ckpt_path=checkpoint)
    return device


def check_training(model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
    """Raise an error if a network cannot be trained with these settings.

    Args:
        model: the network.
        data: the data set.
        settings: the settings of the training.

    Raises:
        ArgumentError: if a process would get fewer than two samples of a batch, if too few samples
            would be held out for validation, if both `calibrate_after` and `compile` are set, or if
            the optimizer is a method of `hinged.optim` and this method cannot train the network.
            Such a method allows neither `compile` nor several processes.
            `hinged.lab.training.second_order.check_second_order` lists its other conditions.
    """
    processes = torchrun_process().world_size
    if settings.batch_size // processes < 2:
        got = f"{settings.batch_size} samples for {processes} processes"
        hint = f"each process needs 2 samples: the batch size must be at least {2 * processes}"
        raise errors.ArgumentError(errors.message("training.batch_size", got, hint))
    if settings.compile and settings.calibrate_after:
        got = f"training.compile with training.calibrate_after={settings.calibrate_after:g}"
        hint = "leave one of the two out: inputs of curves cannot be observed in compiled code"
        raise errors.ArgumentError(errors.message("training", got, hint))
    if settings.validation:
        held_out_size(data, settings.validation)
    if settings.optimizer in METHODS:
        call = f"training.optimizer={settings.optimizer}"
        if settings.compile:
            hint = "this optimizer cannot use compiled code: leave training.compile out"
            raise errors.ArgumentError(errors.message(call, "training.compile=true", hint))
        if processes > 1:
            hint = "this optimizer trains in one process: start without torchrun"
            raise errors.ArgumentError(errors.message(call, f"{processes} processes", hint))
        check_second_order(model, data, settings)


class SeedEpochs(Callback):
    """A callback that seeds torch's random numbers at the start of each epoch.

    All trainings with the same seed then use the same random numbers, for example in dropout. This
    is also true for a resumed training. If several processes train one network, each process uses
    different random numbers.

    Args:
        seed: the seed of the training.
        rank: the number of this process, from 0.
    """

    def __init__(self, seed: int, rank: int) -> None:
        self.seed, self.rank = seed, rank

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        """Seed torch's random numbers for the epoch that starts."""
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


def _hold_out(
    data: DataSet, settings: TrainingSettings, seed: int
) -> tuple[DataSet, Validation | None]:
    """Return the data without validation samples, and the callback that scores these samples.

    The callback is None if no samples are held out.
    """
    if not settings.validation:
        return data, None
    training, held_out = hold_out(data, settings.validation, seed)
    return training, Validation(held_out, settings.keep_best)


def _optional_callbacks(
    module: TrainingModule, checkpoints: Path | None, logger: Logger | None
) -> list[Callback]:
    """Return the callbacks for calibration, checkpoints and logging that this training needs.

    Args:
        module: the Lightning module of the training.
        checkpoints: the folder for checkpoints, or None without checkpoints.
        logger: the logger of the training, or None without logging.
    """
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


def _last_checkpoint(checkpoints: Path | None) -> Path | None:
    if checkpoints is None or not (checkpoints / _LAST_CHECKPOINT).exists():
        return None
    return checkpoints / _LAST_CHECKPOINT
