"""Training by the methods of `hinged.optim`, recorded as any other training."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import Tensor, nn

from hinged import errors, optim
from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import TrainingSettings
from hinged.lab.training.dead_units import DeadUnitCounter, Idle
from hinged.lab.training.training_result import OnEpoch, TrainingResult

HELD_OUT = 1 / 9
"""Share of the training split to validate on: with ten folds 8 to train on, 1 to validate, 1 to
test."""


def check(model: nn.Module, data: DataSet, settings: TrainingSettings) -> None:
    """Raise where a second-order method is asked for what it cannot do.

    Raises:
        ArgumentError: classes, another network than `bypass-mlp`, an activation with parameters
            that are no curves', or settings that these methods do not know.
    """
    call, hint = f"training.optimizer={settings.optimizer}", ""
    if data.classes is not None or not isinstance(model, optim.MLP):
        got = f"a {type(model).__name__} on {data.name}"
        hint = "it trains the network bypass-mlp on regressions"
        raise errors.ArgumentError(errors.message(call, got, hint))
    optim.check_activation(call, model)
    unknown = [
        name
        for name in ("trains", "weight_decay", "curve_penalty", "calibrate_after")
        if getattr(settings, name) != TrainingSettings.model_fields[name].default
    ]
    if unknown:
        got, hint = f"training.{unknown[0]}", "of these settings it knows epochs alone"
        raise errors.ArgumentError(errors.message(call, got, hint))


def train(
    model: nn.Module,
    data: DataSet,
    settings: TrainingSettings,
    seed: int,
    *,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Train a network in float64 on eight ninths of the training split, and score it in float32.

    The network kept is that of the least error on the ninth held out. Nothing is saved on the way:
    a training takes seconds.

    Args:
        model: an `optim.MLP`; it is trained in place.
        data: a regression.
        settings: the method and how many epochs, one iteration each.
        seed: decides which rows are held out.
        on_epoch: called with the number of epochs finished.

    Raises:
        ArgumentError: as `check`.
    """
    check(model, data, settings)
    assert isinstance(model, optim.MLP)
    started = time.perf_counter()
    test_scores: list[float] = []
    idle: list[Idle] = []

    def note(epoch: int) -> None:
        seen = copy.deepcopy(model).float()
        with DeadUnitCounter(seen.eval()) as units:
            test_scores.append(_score(seen, data, data.x_test, data.y_test))
        now = units.idle()
        if now is not None:
            idle.append(now)
        if on_epoch is not None:
            on_epoch(epoch)

    kept, held_out = _rows(data, seed)
    x, y = data.x_train.double(), data.y_train.double()
    found = optim.fit(
        model.double(),
        x[kept],
        y[kept],
        settings.optimizer,
        epochs=settings.epochs,
        validation=(x[held_out], y[held_out]),
        on_epoch=note,
    )
    model.float().eval()
    return TrainingResult(
        model=model,
        train_score=_score(model, data, data.x_train, data.y_train),
        test_score=_score(model, data, data.x_test, data.y_test),
        loss=[error / data.outputs for error in found.error],
        test_scores=test_scores,
        idle=idle,
        step_ms=1000 * statistics.median(found.seconds),
        seconds=time.perf_counter() - started,
    )


def _rows(data: DataSet, seed: int) -> tuple[Tensor, Tensor]:
    """Return which rows of the training split to train on, and which to validate on."""
    count = len(data.x_train)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, round(HELD_OUT * count))
    return order[held_out:], order[:held_out]


def _score(model: nn.Module, data: DataSet, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return data.score(model(data.scaled(x)), y)
