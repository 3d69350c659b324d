"""Builds, trains and scores the network of one trial."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from hinged.lab.data import DataSet, load_data_set
from hinged.lab.data.cross_validation import cross_validation_fold
from hinged.lab.experiment import environment
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.networks import catalogue, pretrained
from hinged.lab.networks.activations import activation_factory, activation_parameters
from hinged.lab.networks.pretrained import PretrainedWeights
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.training import backward_memory, fit, freezing, training_module
from hinged.lab.training.snapshots import snapshot_tensors
from hinged.model import diagnose
from hinged.nn import PiecewiseLinear

_EXAMPLES = 1000
"""Number of samples for advice and for the histograms of the curves' inputs."""
_DIAGNOSE_BATCH = 100
"""Batch size of `diagnose`: for a layer of VGG11 it needs many times the memory of its input."""


class DataAndWeights(NamedTuple):
    """The data of an experiment, prepared for its network, and its pretrained weights, if any."""

    data: DataSet
    weights: PretrainedWeights | None


class FinishedTrial(NamedTuple):
    """The result of a trial, its learned curves, if any, and its trained network."""

    result: TrialResult
    curves: dict[str, Tensor]
    model: nn.Module


def load_data_and_weights(
    experiment: Experiment, data_dir: Path | None = None, study_weights: Path | None = None
) -> DataAndWeights:
    """Return the data and the pretrained weights of an experiment.

    Args:
        experiment: the experiment.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.
        study_weights: as in `hinged.lab.runs.pending_trial.ExperimentRun`.
    """
    sizes = {"train_size": experiment.train_size, "test_size": experiment.test_size}
    data = load_data_set(experiment.data, data_dir, **sizes)
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
    """Train one network.

    The last three arguments are as in `hinged.lab.training.fit.train_network`.
    """
    digest = loaded.data.digest  # Of the whole data set, not of one fold.
    loaded = _select_fold(experiment, trial, loaded)
    data, weights = loaded
    model = build_network(experiment, trial, loaded)
    initial = weights_digest(model)
    kept = _bytes_for_backward(model, data, experiment)
    outcome = fit.train_network(
        model,
        data,
        experiment.training,
        trial.seed,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
        logger=logger,
    )
    result = TrialResult(
        activation=trial.activation,
        seed=trial.seed,
        metric=data.metric,
        test_score=outcome.test_score,
        train_score=outcome.train_score,
        loss=outcome.loss,
        test_scores=outcome.test_scores,
        parameters=_count_trained(outcome.model.parameters()),
        activation_parameters=_count_trained(activation_parameters(outcome.model)),
        step_ms=outcome.step_ms,
        seconds=outcome.seconds,
        dead=[shares.dead for shares in outcome.dead_units],
        dormant=[shares.dormant for shares in outcome.dead_units],
        advice=_advice_by_sign(outcome.model, data),
        kept_bytes=kept,
        initial_weights=initial,
        pretrained="" if weights is None else weights.name,
        data_digest=digest,
        data_about=data.about,
        fold=experiment.fold_of(trial),
        experiment=experiment.model_dump(mode="json", exclude={"activations", "seeds"}),
        environment=environment.describe_environment(),
        finished=utc_now(),
    )
    curves = snapshot_tensors(outcome.model, data.to_inputs(data.x_test[:_EXAMPLES]))
    return FinishedTrial(result, curves, outcome.model)


def check_trial(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> None:
    """Raise if a trial cannot be trained.

    Raises:
        ArgumentError: the network cannot take the data, or cannot be trained with these settings;
            there are too many folds.
    """
    loaded = _select_fold(experiment, trial, loaded)
    fit.check_training(build_network(experiment, trial, loaded), loaded.data, experiment.training)


def build_network(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> nn.Module:
    """Return the network of a trial before training, frozen as the experiment says."""
    settings = experiment.network
    activation = activation_factory(trial.activation, experiment.curves)
    model = catalogue.build_network(settings, loaded.data, activation, trial.seed, loaded.weights)
    head = catalogue.head_names(settings.kind, model)
    return freezing.freeze(model, experiment.training.trains, head)


def weights_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters except those of activations, in order."""
    activations = {id(parameter) for parameter in activation_parameters(model)}
    state = hashlib.sha256()
    for parameter in model.parameters():
        if id(parameter) not in activations:
            state.update(parameter.detach().cpu().numpy().tobytes())
    return state.hexdigest()


def utc_now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _select_fold(experiment: Experiment, trial: Trial, loaded: DataAndWeights) -> DataAndWeights:
    """Return the data of the fold that the trial tests on, or all data without folds."""
    number = experiment.fold_of(trial)
    if number is None or experiment.folds is None:
        return loaded
    data = cross_validation_fold(loaded.data, number, experiment.folds)
    return loaded._replace(data=pretrained.prepare_images(data, experiment.network, loaded.weights))


def _bytes_for_backward(model: nn.Module, data: DataSet, experiment: Experiment) -> int:
    """Return the bytes that one batch keeps for the backward pass, in the precision and memory
    layout of the training."""
    settings = experiment.training
    batch = data.to_inputs(data.x_train[: settings.batch_size])
    batch = training_module.in_memory_format(batch, settings)
    with torch.random.fork_rng([]), training_module.autocast(batch.device, settings):
        return backward_memory.memory_for_backward(model, batch)


def _advice_by_sign(model: nn.Module, data: DataSet) -> dict[str, list[str]]:
    """Return the advice of `hinged.diagnose` by sign; empty for a network without curves."""
    by_sign: dict[str, list[str]] = {}
    if any(isinstance(layer, PiecewiseLinear) for layer in model.modules()):
        batches = list(data.to_inputs(data.x_train[:_EXAMPLES]).split(_DIAGNOSE_BATCH))
        for advice in diagnose(model, batches).advice:
            by_sign.setdefault(advice.sign, []).append(advice.text)
    return by_sign


def _count_trained(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
