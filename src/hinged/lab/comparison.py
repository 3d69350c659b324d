"""The main job: the same network with different activations, from the same seeds."""

from __future__ import annotations

import datetime
import functools
import hashlib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab import data as data_sets
from hinged.lab import environment, models, training
from hinged.lab.activations import ACTIVATIONS, activation_parameters
from hinged.lab.data import DataSet, augment
from hinged.lab.experiment import Experiment, Trial
from hinged.lab.learned import curves_and_inputs
from hinged.lab.pages import keep_pages
from hinged.lab.records import Failure, Result, RunFolder
from hinged.lab.workers import in_processes
from hinged.model import diagnose
from hinged.nn import PiecewiseLinear

Loader = Callable[[], DataSet]

_SHOWN = 1000
"""Samples whose inputs to the curves are looked at."""


class Task(NamedTuple):
    """One experiment of those that are done together.

    Attributes:
        experiment: what to do; a folder that holds part of it is continued.
        folder: where the results go.
        label: what the experiment is called where several are.
    """

    experiment: Experiment
    folder: RunFolder
    label: str = ""


class Watcher:
    """Is told how a comparison goes on; this one keeps it to itself."""

    def begins(self, trials: int, finished: int, epochs: int) -> None:
        """Before the first of so many trials; some were finished in an earlier run, and the others
        have so many epochs in all."""

    def trial(self, task: Task, trial: Trial) -> None:
        """A trial begins."""

    def epoch(self, number: int) -> None:
        """The present trial has finished so many epochs."""

    def result(self, task: Task, result: Result) -> None:
        """A trial is finished and on disk."""

    def failed(self, task: Task, failure: Failure) -> None:
        """A trial raised an error, which is on disk."""


@dataclass(frozen=True)
class _Work:
    """One trial to do, and how; another process can be given it."""

    task: Task
    trial: Trial
    load: Loader
    checkpoints: bool
    keep_going: bool
    wait: bool = False


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
    """Do every trial that the folder does not hold yet, and return all; `compare_all` of one."""
    compare_all(
        [Task(experiment, folder)],
        watcher,
        jobs=jobs,
        threads=threads,
        checkpoints=checkpoints,
        data_dir=data_dir,
    )
    return folder.results()


def compare_all(
    tasks: Sequence[Task],
    watcher: Watcher,
    *,
    jobs: int = 1,
    threads: int = 1,
    checkpoints: bool = False,
    data_dir: Path | None = None,
    keep_going: bool = False,
) -> None:
    """Do every trial that the folders do not hold yet.

    Trials that another process works on are left to it; at the end those that it gave up
    are done here.

    Args:
        tasks: the experiments and their folders. All are checked before the first begins.
        watcher: is told of every step.
        jobs: trials done at once, each in a process of its own; 1 means in this process.
        threads: torch's threads for each trial. Their number can change the last bits of a result.
        checkpoints: save a checkpoint an epoch, and continue an unfinished trial from it.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.
        keep_going: write the error of a trial into its folder and go on, instead of raising it.

    Raises:
        RunFolderError: a folder holds another experiment, or results on other data.
        DataError: the data are missing or damaged.
        ArgumentError: a network cannot take its data.
    """
    digests = [_check(task, data_dir) for task in tasks]  # Fails here rather than after an hour.
    tasks = [_opened(task, digest) for task, digest in zip(tasks, digests, strict=True)]
    work = [
        _Work(task, trial, _loader(task.experiment, data_dir), checkpoints, keep_going)
        for task in tasks
        for trial in task.experiment.trials
    ]
    # Seed by seed through all of them: what is stopped is comparable as far as it came, and slow
    # spells of the machine meet all.
    work.sort(key=lambda each: each.trial.seed)
    left = [each for each in work if not _is_done(each)]
    epochs = sum(each.task.experiment.training.epochs for each in left)
    watcher.begins(len(work), len(work) - len(left), epochs)
    try:
        failed = _do(left, watcher, jobs, threads)
        waiting = [replace(each, wait=True) for each in left if _key(each) not in failed]
        _do([each for each in waiting if not _is_done(each)], watcher, jobs, threads)
    except BaseException:
        for task in tasks:
            task.folder.sweep()
        raise
    for task in tasks:
        task.folder.list_results()


_Done = tuple[_Work, Result | Failure | None]


def _do(work: list[_Work], watcher: Watcher, jobs: int, threads: int) -> set[tuple[Path, str]]:
    """Do trials; return the keys of those that failed."""
    failed = set()
    if jobs > 1:
        done = in_processes(_claim_and_run, [(each,) for each in work], jobs, threads)
    else:
        done = _one_by_one(work, threads, watcher)
    for each, outcome in done:
        if isinstance(outcome, Result):
            watcher.result(each.task, outcome)
        elif outcome is not None:
            failed.add(_key(each))
            watcher.failed(each.task, outcome)
    return failed


def _one_by_one(work: list[_Work], threads: int, watcher: Watcher) -> Iterator[_Done]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_pages()
    try:
        for each in work:
            watcher.trial(each.task, each.trial)
            yield _claim_and_run(each, watcher.epoch)
    finally:
        torch.set_num_threads(before)


def _claim_and_run(work: _Work, on_epoch: Callable[[int], None] | None = None) -> _Done:
    """Do a trial and save what comes of it; None where it is not ours to do."""
    experiment, folder, _ = work.task
    with folder.claim(work.trial, wait=work.wait) as ours:
        if not ours:
            return work, None
        saved = folder.path / "checkpoints" / work.trial.key if work.checkpoints else None
        try:
            result, curves = run(experiment, work.trial, work.load(), on_epoch, saved)
        except Exception:
            if not work.keep_going:
                raise
            failure = _failure(work.trial)
            folder.save_failure(work.trial, failure)
            return work, failure
        folder.save(work.trial, result, curves)
        return work, result


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
        parameters=_trained(outcome.model.parameters()),
        activation_parameters=_trained(activation_parameters(outcome.model)),
        step_ms=outcome.step_ms,
        seconds=outcome.seconds,
        dead=[idle.dead for idle in outcome.idle],
        dormant=[idle.dormant for idle in outcome.idle],
        advice=_advice(outcome.model, data),
        kept_bytes=kept,
        initial_weights=initial,
        data_digest=data.digest,
        data_about=data.about,
        experiment=experiment.model_dump(mode="json", exclude={"activations", "seeds"}),
        environment=environment.describe(),
        finished=_now(),
    )
    return result, curves_and_inputs(outcome.model, data.scaled(data.x_test[:_SHOWN]))


def _loader(experiment: Experiment, data_dir: Path | None) -> Loader:
    """Return a call that loads the data, in this process or another."""
    sizes = {"train_size": experiment.train_size, "test_size": experiment.test_size}
    return functools.partial(data_sets.load, experiment.data, data_dir, **sizes)


def _check(task: Task, data_dir: Path | None) -> str:
    """Return the hash of a task's data, or raise where they cannot be had or trained on."""
    experiment = task.experiment
    data = _loader(experiment, data_dir)()
    augment.check(experiment.training.augment, data.x_train, data.problem)
    for activation in experiment.activations:
        _network(experiment, data, Trial(activation=activation, seed=0))
    return data.digest


def _opened(task: Task, digest: str) -> Task:
    """Return the task with all that its folder holds, or raise where the folder's results were
    found on other data of the same name: seeds are compared in pairs."""
    folder = task.folder
    folder.open(task.experiment)
    if any(result.data_digest != digest for result in folder.results()):
        raise errors.RunFolderError(
            f"{folder.path} holds results on other data, though they too are called "
            f"{task.experiment.data}. Choose another folder with --out."
        )
    return task._replace(experiment=folder.experiment)


def _key(work: _Work) -> tuple[Path, str]:
    return work.task.folder.path, work.trial.key


def _is_done(work: _Work) -> bool:
    return work.task.folder.has(work.trial)


def _failure(trial: Trial) -> Failure:
    """Return the record of the error that is being handled."""
    return Failure(
        activation=trial.activation,
        seed=trial.seed,
        traceback=traceback.format_exc(),
        environment=environment.describe(),
        finished=_now(),
    )


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


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


def _advice(model: nn.Module, data: DataSet) -> dict[str, list[str]]:
    """Return what `hinged.diagnose` advises, by sign; nothing for a network without curves."""
    found: dict[str, list[str]] = {}
    if any(isinstance(layer, PiecewiseLinear) for layer in model.modules()):
        for each in diagnose(model, data.scaled(data.x_train[:_SHOWN])).advice:
            found.setdefault(each.sign, []).append(each.text)
    return found


def _trained(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
