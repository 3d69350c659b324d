"""Building, training and scoring the network of one trial.

A trial is one training: one activation from one seed.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from hinged.curve import Curve
from hinged.lab.data import DataSet, augment, load_data_set
from hinged.lab.data.cross_validation import cross_validation_fold
from hinged.lab.data.validation_split import hold_out
from hinged.lab.experiment import environment
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.networks import catalogue, pretrained
from hinged.lab.networks.activations import (
    KEEP_ORIGINAL,
    activation_factory,
    activation_parameters,
)
from hinged.lab.networks.pretrained import PretrainedWeights
from hinged.lab.problems.predictions import Predictions
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training import backward_memory, fit, freezing, training_module
from hinged.lab.training.head_first import train_head
from hinged.lab.training.low_rank_updates import add_low_rank_updates, merge_low_rank_updates
from hinged.lab.training.snapshots import snapshot_tensors
from hinged.model import copy_curves, diagnose
from hinged.nn import PiecewiseLinear

_EXAMPLES = 1000
"""Number of samples for `hinged.diagnose`, and for the histograms of the curves' inputs."""
_DIAGNOSE_BATCH = 100
"""Batch size of `hinged.diagnose`, which needs many times the memory of a layer's input."""


class DataAndWeights(NamedTuple):
    """The data and the pretrained weights of an experiment.

    Attributes:
        data: the data set, with images resized and normalised for the network.
        weights: the pretrained weights; None if all weights are new.
    """

    data: DataSet
    weights: PretrainedWeights | None


class FinishedTrial(NamedTuple):
    """The outcome of a trial, which is the training of one activation from one seed.

    Attributes:
        result: its scores, costs and settings.
        curves: tensors of the learned curves by name; empty if the network has no curves.
        predictions: what is kept of its predictions on the test split; None if nothing is kept.
        model: the trained network.
    """

    result: TrialResult
    curves: dict[str, Tensor]
    predictions: Predictions | None
    model: nn.Module


def load_data_and_weights(
    experiment: Experiment, data_dir: Path | None = None, study_weights: Path | None = None
) -> DataAndWeights:
    """Return the data and the pretrained weights of an experiment.

    Args:
        experiment: the experiment.
        data_dir: the folder of data sets; None for the folder that the environment variable
            `HINGED_DATA` names.
        study_weights: the file of pretrained weights that the setting `pretrained = "study"` means;
            None outside of studies.

    Raises:
        DataError: if data are missing or damaged.
    """
    sizes = {"train_size": experiment.train_size, "test_size": experiment.test_size}
    data = load_data_set(experiment.data, data_dir, table=experiment.table, **sizes)
    weights = pretrained.find_weights(experiment.network, data_dir, study_weights)
    return DataAndWeights(pretrained.prepare_images(data, experiment.network, weights), weights)


def run_trial(
    experiment: Experiment,
    trial: Trial,
    loaded: DataAndWeights,
    on_epoch: Callable[[int], None] | None = None,
    checkpoints: Path | None = None,
    logger: Logger | None = None,
) -> FinishedTrial:
    """Train the network of one trial (one activation from one seed), and score it.

    Args:
        experiment: the settings.
        trial: the activation and the seed.
        loaded: the data and pretrained weights, from `load_data_and_weights`.
        on_epoch: called after each epoch with the number of finished epochs.
        checkpoints: the folder for a checkpoint after each epoch; None for no checkpoints.
            Training continues from the last checkpoint in this folder.
        logger: a Lightning logger that records every epoch; None for no logger.

    Returns:
        The trained network with its result and its learned curves.
    """
    experiment = experiment.for_activation(trial.activation)
    digest = loaded.data.digest  # The hash of the whole data set, also if folds are used.
    loaded = _select_fold(experiment, trial, loaded)
    data, weights = loaded
    model = build_network(experiment, trial, loaded)
    head_seconds = _train_head_first(model, experiment, trial, loaded)
    initial = weights_digest(model)
    kept, start = _bytes_for_backward(model, data, experiment), _copy_curves(model)
    outcome = fit.train_network(
        model,
        data,
        experiment.training,
        trial.seed,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
        logger=logger,
    )
    other_scores, predictions = data.describe_predictions(outcome.test_outputs)
    advice, travel = _diagnose(outcome.model, data, start)
    result = TrialResult(
        activation=trial.activation,
        seed=trial.seed,
        metric=data.metric,
        test_score=outcome.test_score,
        train_score=outcome.train_score,
        other_scores=other_scores,
        loss=outcome.loss,
        test_scores=outcome.test_scores,
        validation_scores=outcome.validation_scores,
        best_epoch=outcome.best_epoch,
        parameters=_count_trained(outcome.model.parameters()),
        activation_parameters=_count_trained(activation_parameters(outcome.model)),
        step_ms=outcome.step_ms,
        seconds=outcome.seconds + head_seconds,
        dead=[shares.dead for shares in outcome.dead_units],
        dormant=[shares.dormant for shares in outcome.dead_units],
        advice=advice,
        travel=travel,
        kept_bytes=kept,
        initial_weights=initial,
        pretrained="" if weights is None else weights.name,
        data_digest=digest,
        data_about=data.about,
        data_notes=data.notes.found,
        data_warnings=data.notes.warnings,
        data_facts=data.facts,
        fold=experiment.fold_of(trial),
        experiment=experiment.model_dump(mode="json", exclude={"activations", "seeds"}),
        environment=environment.describe_environment(),
        finished=utc_now(),
    )
    curves = snapshot_tensors(outcome.model, data.to_inputs(data.x_test[:_EXAMPLES]))
    return FinishedTrial(result, curves, predictions, merge_low_rank_updates(outcome.model))


def check_trial(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> None:
    """Raise an error if a trial (one activation from one seed) cannot be trained.

    Raises:
        ArgumentError: if the network does not fit the shape of the data, if the network cannot be
            trained with these settings, if an augmentation does not fit the data, or if there are
            more folds than the data allow.
    """
    experiment = experiment.for_activation(trial.activation)
    loaded = _select_fold(experiment, trial, loaded)
    augment.check_augmentations(
        experiment.training.augment, loaded.data.x_train, loaded.data.problem
    )
    fit.check_training(build_network(experiment, trial, loaded), loaded.data, experiment.training)


def data_of_trial(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> DataSet:
    """Return the data of a trial: a fold, or all data without cross-validation."""
    return _select_fold(experiment, trial, loaded).data


def build_network(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> nn.Module:
    """Return the network of a trial (one activation from one seed) before its training.

    Parameters that the setting `training.trains` excludes do not require gradients.

    Args:
        experiment: the settings.
        trial: the activation and the seed.
        loaded: the data and pretrained weights, from `load_data_and_weights`.
    """
    experiment = experiment.for_activation(trial.activation)
    settings, training = experiment.network, experiment.training
    activation = activation_factory(trial.activation, experiment.curves)
    model = catalogue.build_network(settings, loaded.data, activation, trial.seed, loaded.weights)
    head = catalogue.head_names(settings.kind, model)
    freezing.freeze(model, training.trains, head)
    if "lora" in training.trains:
        add_low_rank_updates(model, training.lora_rank, head, trial.seed)
    return model


def _train_head_first(
    model: nn.Module, experiment: Experiment, trial: Trial, loaded: DataAndWeights
) -> float:
    """Train the head of a network if the setting `training.head_epochs` is not 0.

    The head is trained in a network without trainable activations. It is therefore the same for all
    activations, and for all settings of curves. It is not trained on samples that are held out.

    Returns:
        The wall time, in seconds.
    """
    started, settings, training = time.perf_counter(), experiment.network, experiment.training
    if training.head_epochs:
        args = settings, loaded.data, KEEP_ORIGINAL, trial.seed, loaded.weights
        plain = catalogue.build_network(*args)
        head = catalogue.head_names(settings.kind, plain)
        data = loaded.data
        if training.validation:
            data, _ = hold_out(data, training.validation, trial.seed)
        trained = train_head(plain, head, data, training, trial.seed)
        for name, state in trained.items():
            model.get_submodule(name).load_state_dict(state)
    return time.perf_counter() - started


def weights_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters of a network except those of activations.

    Networks that differ only in their activations have the same hash if their weights are equal.
    """
    activations = {id(parameter) for parameter in activation_parameters(model)}
    state = hashlib.sha256()
    for parameter in model.parameters():
        if id(parameter) not in activations:
            state.update(parameter.detach().cpu().numpy().tobytes())
    return state.hexdigest()


def utc_now() -> str:
    """Return the current time in UTC as an ISO 8601 text, with a precision of seconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _select_fold(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> DataAndWeights:
    """Return the data split for the fold that the trial tests on.

    Without cross-validation, the data are returned unchanged.
    """
    number = experiment.fold_of(trial)
    if number is None or experiment.folds is None:
        return loaded
    data = cross_validation_fold(loaded.data, number, experiment.folds)
    return loaded._replace(data=pretrained.prepare_images(data, experiment.network, loaded.weights))


def _bytes_for_backward(model: nn.Module, data: DataSet, experiment: Experiment) -> int:
    """Return the number of bytes that one training batch keeps in memory for the backward pass."""
    settings = experiment.training
    batch = data.to_inputs(data.x_train[: settings.batch_size])
    batch = training_module.in_memory_format(batch, settings)
    with torch.random.fork_rng([]), training_module.autocast(batch.device, settings):
        return backward_memory.memory_for_backward(model, batch)


def _copy_curves(model: nn.Module) -> dict[str, Curve]:
    """Return copies of the curves of a network; empty for a network without curves."""
    has_curves = any(isinstance(layer, PiecewiseLinear) for layer in model.modules())
    return copy_curves(model) if has_curves else {}


def _diagnose(
    model: nn.Module, data: DataSet, start: dict[str, Curve]
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Return what `hinged.diagnose` finds in a network. Both are empty without curves.

    Args:
        model: the trained network.
        data: the data set.
        start: the curves before the training.

    Returns:
        Lists of sentences of advice; the keys are signs, short names of what is wrong, for example
        `inputs outside`. Then the travel of the curves, by the name of the layer.
    """
    if not start:
        return {}, {}
    batches = list(data.to_inputs(data.x_train[:_EXAMPLES]).split(_DIAGNOSE_BATCH))
    found = diagnose(model, batches, start=start)
    by_sign: dict[str, list[str]] = {}
    for advice in found.advice:
        by_sign.setdefault(advice.sign, []).append(advice.text)
    return by_sign, {name: float(each["travel"] or 0) for name, each in found.figures().items()}


def _count_trained(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
