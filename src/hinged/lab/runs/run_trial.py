"""One trial: a network built, trained, scored and looked at."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from hinged.lab.experiment import environment
from hinged.lab.networks import catalogue, pretrained
from hinged.lab.training import freezing, fit
from hinged.lab.networks.activations import activation_parameters, factory
from hinged.lab.data import DataSet
from hinged.lab.data import load as load_data
from hinged.lab.data.folds import fold
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.training.snapshots import curves_and_inputs
from hinged.lab.networks.pretrained import Weights
from hinged.lab.runs.run_folder import TrialResult
from hinged.model import diagnose
from hinged.nn import PiecewiseLinear

_SHOWN = 1000
"""Samples whose inputs to the curves are looked at."""
_AT_ONCE = 100
"""Of them, diagnosed together: what a layer of VGG11 is watched by takes many times its input."""


class Materials(NamedTuple):
    """What an experiment is done with: its data as the network is given them, and the weights it
    starts from, where they are not new."""

    data: DataSet
    weights: Weights | None


class FinishedTrial(NamedTuple):
    """What one trial gave: its record, its learned curves where it has any, and its network."""

    result: TrialResult
    curves: dict[str, Tensor]
    model: nn.Module


def load(
    experiment: Experiment, data_dir: Path | None = None, own: Path | None = None
) -> Materials:
    """Return what an experiment is done with.

    Args:
        experiment: the experiment.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.
        own: as in `Task`.
    """
    sizes = {"train_size": experiment.train_size, "test_size": experiment.test_size}
    data = load_data(experiment.data, data_dir, **sizes)
    weights = pretrained.read(experiment.network, data_dir, own)
    return Materials(pretrained.fitted(data, experiment.network, weights), weights)


def run(
    experiment: Experiment,
    trial: Trial,
    materials: Materials,
    on_epoch: Callable[[int], None] | None = None,
    checkpoints: Path | None = None,
    logger: Logger | None = None,
) -> FinishedTrial:
    """Do one trial; the last three are as in `hinged.lab.training.fit.train`."""
    digest = materials.data.digest  # Of all folds together: they are one data set.
    materials = _of_fold(experiment, trial, materials)
    data, weights = materials
    model = network(experiment, materials, trial)
    initial = weights_digest(model)
    kept = _kept(model, data, experiment)
    outcome = fit.train(
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
        parameters=_trained(outcome.model.parameters()),
        activation_parameters=_trained(activation_parameters(outcome.model)),
        step_ms=outcome.step_ms,
        seconds=outcome.seconds,
        dead=[idle.dead for idle in outcome.idle],
        dormant=[idle.dormant for idle in outcome.idle],
        advice=_advice(outcome.model, data),
        kept_bytes=kept,
        initial_weights=initial,
        pretrained="" if weights is None else weights.name,
        data_digest=digest,
        data_about=data.about,
        fold=experiment.fold_of(trial),
        experiment=experiment.model_dump(mode="json", exclude={"activations", "seeds"}),
        environment=environment.describe(),
        finished=now(),
    )
    curves = curves_and_inputs(outcome.model, data.scaled(data.x_test[:_SHOWN]))
    return FinishedTrial(result, curves, outcome.model)


def check(experiment: Experiment, trial: Trial, materials: Materials) -> None:
    """Raise where a trial cannot be done.

    Raises:
        ArgumentError: the network cannot take the data, or cannot be trained as it is to be; too
            many folds.
    """
    materials = _of_fold(experiment, trial, materials)
    fit.check(network(experiment, materials, trial), materials.data, experiment.training)


def weights_digest(model: nn.Module) -> str:
    """Return SHA-256 over all parameters but those of the activations, in order."""
    activations = {id(parameter) for parameter in activation_parameters(model)}
    state = hashlib.sha256()
    for parameter in model.parameters():
        if id(parameter) not in activations:
            state.update(parameter.detach().cpu().numpy().tobytes())
    return state.hexdigest()


def network(experiment: Experiment, materials: Materials, trial: Trial) -> nn.Module:
    """Return the network of a trial before training, frozen where the experiment says so."""
    activation, settings = factory(trial.activation, experiment.curves), experiment.network
    model = catalogue.build(settings, materials.data, activation, trial.seed, materials.weights)
    return freezing.freeze(model, experiment.training.trains, catalogue.head(settings.kind, model))


def _of_fold(experiment: Experiment, trial: Trial, whole: Materials) -> Materials:
    """Return the materials with the fold of the trial as their data, where there are folds."""
    number = experiment.fold_of(trial)
    if number is None or experiment.folds is None:
        return whole
    data = fold(whole.data, number, experiment.folds)
    return whole._replace(data=pretrained.fitted(data, experiment.network, whole.weights))


def _kept(model: nn.Module, data: DataSet, experiment: Experiment) -> int:
    """Return the bytes kept for the backward pass of one batch, in precision and layout of the
    training."""
    settings = experiment.training
    batch = fit.laid_out(data.scaled(data.x_train[: settings.batch_size]), settings)
    with torch.random.fork_rng([]), fit.autocast(batch.device, settings):
        return fit.memory_for_backward(model, batch)


def _advice(model: nn.Module, data: DataSet) -> dict[str, list[str]]:
    """Return what `hinged.diagnose` advises, by sign; nothing for a network without curves."""
    found: dict[str, list[str]] = {}
    if any(isinstance(layer, PiecewiseLinear) for layer in model.modules()):
        batches = list(data.scaled(data.x_train[:_SHOWN]).split(_AT_ONCE))
        for each in diagnose(model, batches).advice:
            found.setdefault(each.sign, []).append(each.text)
    return found


def _trained(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)


def now() -> str:
    """Return the time, UTC, ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
