"""The main job: the same network with different activations, from the same seeds."""

from __future__ import annotations

import datetime
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab import data as data_sets
from hinged.lab import environment, models, training
from hinged.lab.activations import ACTIVATIONS, activation_parameters
from hinged.lab.data import DataSet, augment
from hinged.lab.experiment import Experiment, Trial
from hinged.lab.learned import curves_and_inputs
from hinged.lab.records import Result, RunFolder
from hinged.lab.workers import in_processes

Loader = Callable[[], DataSet]

_SHOWN = 1000
"""Test samples whose inputs to the curves are counted."""


class Watcher:
    """Is told how a comparison goes on; this one keeps it to itself."""

    def begins(self, experiment: Experiment, finished: int) -> None:
        """Before the first trial; so many were finished in an earlier run."""

    def trial(self, trial: Trial) -> None:
        """A trial begins."""

    def epoch(self, number: int) -> None:
        """The present trial has finished so many epochs."""

    def result(self, result: Result) -> None:
        """A trial is finished and on disk."""


def compare(
    experiment: Experiment,
    folder: RunFolder,
    watcher: Watcher,
    *,
    jobs: int = 1,
    threads: int = 1,
    checkpoints: bool = False,
    data_dir: Path | None = None,
) -> list[Result]:
    """Do every trial that the folder does not hold yet, and return all.

    Trials that another process works on are left to it; at the end those that it gave up
    are done here.

    Args:
        experiment: what to do; a folder that holds part of it is continued.
        folder: where the results go.
        watcher: is told of every step.
        jobs: trials done at once, each in a process of its own; 1 means in this process.
        threads: torch's threads for each trial. Their number can change the last bits of a result.
        checkpoints: save a checkpoint an epoch, and continue an unfinished trial from it.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.

    Raises:
        RunFolderError: the folder holds another experiment, or results on other data.
        DataError: the data are missing or damaged.
        ArgumentError: the network cannot take the data.
    """
    load = _loader(experiment, data_dir)
    data = load()
    augment.check(experiment.training.augment, data.x_train)
    for activation in experiment.activations:  # Fails here rather than after an hour.
        _network(experiment, data, Trial(activation=activation, seed=0))
    folder.open(experiment)
    experiment = folder.experiment
    _refuse_other_data(folder, data)
    watcher.begins(experiment, sum(folder.has(trial) for trial in experiment.trials))
    for wait in (False, True):
        missing = [trial for trial in experiment.trials if not folder.has(trial)]
        if jobs > 1:
            calls = [(experiment, load, folder, trial, wait, checkpoints) for trial in missing]
            results = in_processes(_claim_and_run, calls, jobs, threads)
        else:
            results = _one_by_one(
                experiment, load, folder, missing, wait, checkpoints, threads, watcher
            )
        for result in results:
            if result is not None:
                watcher.result(result)
    folder.list_results()
    return folder.results()


def _one_by_one(
    experiment: Experiment,
    load: Loader,
    folder: RunFolder,
    trials: list[Trial],
    wait: bool,
    checkpoints: bool,
    threads: int,
    watcher: Watcher,
) -> Iterator[Result | None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for trial in trials:
            watcher.trial(trial)
            yield _claim_and_run(experiment, load, folder, trial, wait, checkpoints, watcher.epoch)
    finally:
        torch.set_num_threads(before)


def _claim_and_run(
    experiment: Experiment,
    load: Loader,
    folder: RunFolder,
    trial: Trial,
    wait: bool,
    checkpoints: bool,
    on_epoch: Callable[[int], None] | None = None,
) -> Result | None:
    """Do a trial and save it, or return None where it is not ours to do."""
    with folder.claim(trial, wait=wait) as ours:
        if not ours:
            return None
        saved = folder.path / "checkpoints" / trial.key if checkpoints else None
        result, curves = run(experiment, trial, load(), on_epoch, saved)
        folder.save(trial, result, curves)
        return result


def run(
    experiment: Experiment,
    trial: Trial,
    data: DataSet,
    on_epoch: Callable[[int], None] | None = None,
    checkpoints: Path | None = None,
) -> tuple[Result, dict[str, Tensor]]:
    """Do one trial; return its record, and its learned curves where it has any."""
    model = _network(experiment, data, trial)
    initial = weights_digest(model)
    batch = data.scaled(data.x_train[: experiment.training.batch_size])
    kept = training.memory_for_backward(model, batch)
    outcome = training.train(
        model, data, experiment.training, trial.seed, on_epoch=on_epoch, checkpoints=checkpoints
    )
    result = Result(
        activation=trial.activation,
        seed=trial.seed,
        metric=data.metric,
        test_score=outcome.test_score,
        train_score=outcome.train_score,
        loss=outcome.loss,
        test_scores=outcome.test_scores,
        parameters=_count(outcome.model.parameters()),
        activation_parameters=_count(activation_parameters(outcome.model)),
        step_ms=outcome.step_ms,
        seconds=outcome.seconds,
        kept_bytes=kept,
        initial_weights=initial,
        data_digest=data.digest,
        data_about=data.about,
        experiment=experiment.model_dump(mode="json", exclude={"activations", "seeds"}),
        environment=environment.describe(),
        finished=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    return result, curves_and_inputs(outcome.model, data.scaled(data.x_test[:_SHOWN]))


def _loader(experiment: Experiment, data_dir: Path | None) -> Loader:
    """Return a call that loads the data, in this process or another."""
    sizes = {"train_size": experiment.train_size, "test_size": experiment.test_size}
    return functools.partial(data_sets.load, experiment.data, data_dir, **sizes)


def _refuse_other_data(folder: RunFolder, data: DataSet) -> None:
    """Raise where the folder's results were found on other data of the same name: seeds are
    compared in pairs."""
    if any(result.data_digest != data.digest for result in folder.results()):
        raise errors.RunFolderError(
            f"{folder.path} holds results on other data, though they too are called {data.name}. "
            "Choose another folder with --out."
        )


def weights_digest(model: nn.Module) -> str:
    """Return SHA-256 over all parameters but those of the activations, in order."""
    activations = {id(parameter) for parameter in activation_parameters(model)}
    state = hashlib.sha256()
    for parameter in model.parameters():
        if id(parameter) not in activations:
            state.update(parameter.detach().cpu().numpy().tobytes())
    return state.hexdigest()


def _network(experiment: Experiment, data: DataSet, trial: Trial) -> nn.Module:
    factory = ACTIVATIONS[trial.activation](experiment.curves)
    return models.build(experiment.network, data, factory, trial.seed)


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
