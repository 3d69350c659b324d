"""The training of a network by the second-order methods of `hinged.optim`."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import Tensor, nn

from hinged import errors, optim
from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.training.dead_units import DeadUnitCounter, DeadUnitShares
from hinged.lab.training.training_result import OnEpoch, TrainingResult

VALIDATION_SHARE = 1 / 9
"""Share of the training split that is used for validation. In a cross-validation with ten folds, 8
folds are then used for training, 1 for validation and 1 for testing."""
_UNUSED = (
    *("trains", "head_epochs", "weight_decay", "curve_penalty", "calibrate_after"),
    *("validation", "keep_best"),  # These methods always hold out `VALIDATION_SHARE`.
)
"""Settings of the training that these methods refuse."""


def check_second_order(model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
    """Raise an error if a second-order method cannot train a network.

    Args:
        model: the network.
        data: the data set.
        settings: the settings of the training. `optimizer` is the name of the method.

    Raises:
        ArgumentError: if the data set is not for regression, if the network is not a `bypass-mlp`,
            if an activation has parameters other than the values of curves, or if a setting is
            given that these methods do not use.
    """
    call = f"training.optimizer={settings.optimizer}"
    if data.classes is not None or not isinstance(model, optim.MLP):
        got = f"a network of class {type(model).__name__} on the data set {data.name}"
        hint = "this optimizer trains only the network bypass-mlp, and only on regressions"
        raise errors.ArgumentError(errors.message(call, got, hint))
    optim.check_activation(call, model)
    unsupported = [
        name
        for name in _UNUSED
        if getattr(settings, name) != TrainingSettings.model_fields[name].default
    ]
    if unsupported:
        got, hint = (
            f"training.{unsupported[0]}",
            "this optimizer does not use the setting: leave it out",
        )
        raise errors.ArgumentError(errors.message(call, got, hint))


def train_second_order(
    model: nn.Module,
    data: DataSet,
    settings: TrainingSettings,
    seed: int,
    *,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Train a network in float64 on eight ninths of the training split, and score it in float32.

    The other ninth, which is chosen at random, is used for validation. The result contains the
    network of the epoch with the smallest validation error. No checkpoints are written, since a
    training takes only seconds.

    Args:
        model: an `optim.MLP`. It is trained in place.
        data: a data set for regression.
        settings: `optimizer` is the name of the method. `epochs` is the number of its iterations.
        seed: decides which samples are used for validation.
        on_epoch: a function that is called after each epoch with the number of finished epochs.
            None calls nothing.

    Returns:
        A result that contains the trained network, its scores and its costs.

    Raises:
        ArgumentError: if the method cannot train this network (see `check_second_order`).
    """
    check_second_order(model, data, settings)
    assert isinstance(model, optim.MLP)
    started = time.perf_counter()
    test_scores: list[float] = []
    dead_units: list[DeadUnitShares] = []

    def record_epoch(epoch: int) -> None:
        current = copy.deepcopy(model).float()
        with DeadUnitCounter(current.eval()) as counter:
            test_scores.append(_score(current, data, data.x_test, data.y_test))
        shares = counter.shares()
        if shares is not None:
            dead_units.append(shares)
        if on_epoch is not None:
            on_epoch(epoch)

    train_rows, validation_rows = _split_rows(data, seed)
    x, y = data.x_train.double(), data.y_train.double()
    history = optim.fit(
        model.double(),
        x[train_rows],
        y[train_rows],
        settings.optimizer,
        epochs=settings.epochs,
        validation=(x[validation_rows], y[validation_rows]),
        on_epoch=record_epoch,
    )
    model.float().eval()
    with torch.no_grad():
        test_outputs = model(data.to_inputs(data.x_test))
    return TrainingResult(
        model=model,
        train_score=_score(model, data, data.x_train, data.y_train),
        test_score=data.score(test_outputs, data.y_test),
        loss=[error / data.outputs for error in history.error],
        test_scores=test_scores,
        dead_units=dead_units,
        step_ms=1000 * statistics.median(history.seconds),
        seconds=time.perf_counter() - started,
        test_outputs=test_outputs,
    )


def _split_rows(data: DataSet, seed: int) -> tuple[Tensor, Tensor]:
    """Return the row numbers of the training samples and of the validation samples."""
    count = len(data.x_train)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, round(VALIDATION_SHARE * count))
    return order[held_out:], order[:held_out]


def _score(model: nn.Module, data: DataSet, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return data.score(model(data.to_inputs(x)), y)
