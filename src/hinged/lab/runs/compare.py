"""The main job: the same network with different activations, from the same seeds."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hinged import errors
from hinged.atomic_files import remove_partials
from hinged.lab.experiment import environment
from hinged.lab.training import loggers
from hinged.lab.networks import pretrained
from hinged.lab.runs.ray_cluster import Cluster
from hinged.lab.data import augment
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.experiment.ranks import ranks
from hinged.lab.runs.run_folder import TrialFailure, TrialResult, RunFolder
from hinged.lab.runs.run_trial import FinishedTrial, Materials, check, load, now, run
from hinged.lab.runs.worker_processes import in_processes

Loader = Callable[[], Materials]


class Task(NamedTuple):
    """One experiment of those that are done together.

    Attributes:
        experiment: what to do; a folder that holds part of it is continued.
        folder: where the results go.
        label: what the experiment is called where several are.
        own: the file that `hinged.lab.networks.pretrained.STUDY` means.
    """

    experiment: Experiment
    folder: RunFolder
    label: str = ""
    own: Path | None = None


class Keep(NamedTuple):
    """What is kept of a trial besides its results.

    Attributes:
        checkpoints: one an epoch; an unfinished trial is continued from the last.
        weights: the trained network (`RunFolder.weights`), for `NetworkSettings.pretrained` to
            name.
        logger: what the logger of this name (`hinged.lab.training.loggers`) is told, epoch by epoch.
    """

    checkpoints: bool = False
    weights: bool = False
    logger: str = ""


class ProgressListener:
    """Is told how a comparison goes on; this one keeps it to itself."""

    def begins(self, trials: int, finished: int, epochs: int) -> None:
        """Before the first of so many trials; some were finished in an earlier run, and the others
        have so many epochs in all."""

    def trial(self, task: Task, trial: Trial) -> None:
        """A trial begins."""

    def epoch(self, number: int) -> None:
        """The present trial has finished so many epochs."""

    def result(self, task: Task, result: TrialResult) -> None:
        """A trial is finished and on disk."""

    def failed(self, task: Task, failure: TrialFailure) -> None:
        """A trial raised an error, which is on disk."""


_RESULTS = Keep()


@dataclass(frozen=True)
class _Work:
    """One trial to do, and how; another process can be given it."""

    task: Task
    trial: Trial
    load: Loader
    keep: Keep
    keep_going: bool
    wait: bool = False


def compare(
    experiment: Experiment,
    folder: RunFolder,
    listener: ProgressListener,
    *,
    jobs: int = 1,
    threads: int = 1,
    cluster: Cluster | None = None,
    keep: Keep = _RESULTS,
    data_dir: Path | None = None,
) -> list[TrialResult]:
    """Do every trial that the folder does not hold yet, and return all; `compare_all` of one."""
    compare_all(
        [Task(experiment, folder)],
        listener,
        jobs=jobs,
        threads=threads,
        cluster=cluster,
        keep=keep,
        data_dir=data_dir,
    )
    return folder.results()


def compare_all(
    tasks: Sequence[Task],
    listener: ProgressListener,
    *,
    jobs: int = 1,
    threads: int = 1,
    cluster: Cluster | None = None,
    keep: Keep = _RESULTS,
    data_dir: Path | None = None,
    keep_going: bool = False,
) -> None:
    """Do every trial that the folders do not hold yet.

    Trials that another process works on are left to it; at the end those that it gave up
    are done here.

    Args:
        tasks: the experiments and their folders. All are checked before the first begins.
        listener: is told of every step.
        jobs: trials done at once, each in a process of its own; 1 means in this process.
        threads: torch's threads for each trial. Their number can change the last bits of a result.
        cluster: do the trials there instead, as many at once as it says, without checkpoints and
            loggers. Data are sent there and results back: all files are read and written here.
        keep: what is kept besides the results.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.
        keep_going: write the error of a trial into its folder and go on, instead of raising it.

    Raises:
        RunFolderError: a folder holds another experiment, or results on other data or from other
            pretrained weights, or cannot be written; in one of several processes, more than one
            trial is left.
        DataError: the data are missing or damaged.
        ArgumentError: a network cannot take its data.
    """
    checked = [_check(task, data_dir) for task in tasks]  # Fails here rather than after an hour.
    tasks = [_opened(task, *found) for task, found in zip(tasks, checked, strict=True)]
    work = [
        _Work(task, trial, _loader(task, data_dir), keep, keep_going)
        for task in tasks
        for trial in task.experiment.trials
    ]
    # Seed by seed through all of them: what is stopped is comparable as far as it came, and slow
    # spells of the machine meet all.
    work.sort(key=lambda each: each.trial.seed)
    left = [each for each in work if not _is_done(each)]
    _check_alone(left)
    epochs = sum(each.task.experiment.training.epochs for each in left)
    listener.begins(len(work), len(work) - len(left), epochs)
    try:
        with cluster or nullcontext():
            done = functools.partial(_outcomes, jobs=jobs, threads=threads, cluster=cluster)
            failed = _tell(listener, done(left, listener))
            waiting = [replace(each, wait=True) for each in left if _key(each) not in failed]
            _tell(listener, done([each for each in waiting if not _is_done(each)], listener))
    except BaseException:
        for task in tasks:
            remove_partials(task.folder.path)
        raise
    for task in tasks:
        task.folder.list_results()


def assist(
    experiment: Experiment,
    folder: RunFolder,
    *,
    threads: int = 1,
    keep: Keep = _RESULTS,
    data_dir: Path | None = None,
) -> None:
    """Take part in the training of the one trial of an experiment, in a process of several
    (`hinged.lab.experiment.ranks`) whose first calls `compare` with the same arguments and saves what comes
    of it."""
    (trial,) = experiment.trials
    task = Task(experiment, folder)
    if not folder.has(trial):
        torch.set_num_threads(threads)
        _done(_Work(task, trial, _loader(task, data_dir), keep, keep_going=False), None)


_Outcome = tuple[_Work, TrialResult | TrialFailure | None]
_Outcomes = Generator[_Outcome, None, None]


def _tell(listener: ProgressListener, done: _Outcomes) -> set[tuple[Path, str]]:
    """Tell the listener what comes of trials; return the keys of those that failed."""
    failed = set()
    with closing(done):  # What still runs ends, and claims are given back, before an error goes on.
        for each, outcome in done:
            if isinstance(outcome, TrialResult):
                listener.result(each.task, outcome)
            elif outcome is not None:
                failed.add(_key(each))
                listener.failed(each.task, outcome)
    return failed


def _outcomes(
    work: list[_Work], listener: ProgressListener, jobs: int, threads: int, cluster: Cluster | None
) -> _Outcomes:
    """Do trials, and yield what comes of them."""
    if cluster is not None:
        return _on_cluster(work, cluster)
    if jobs > 1:
        return in_processes(_claim_and_run, [(each,) for each in work], jobs, threads)
    return _one_by_one(work, threads, listener)


def _one_by_one(work: list[_Work], threads: int, listener: ProgressListener) -> _Outcomes:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in work:
            listener.trial(each.task, each.trial)
            yield _claim_and_run(each, listener.epoch)
    finally:
        torch.set_num_threads(before)


def _claim_and_run(work: _Work, on_epoch: Callable[[int], None] | None = None) -> _Outcome:
    """Do a trial and save what comes of it; None where it is not ours to do."""
    with work.task.folder.claim(work.trial, wait=work.wait) as ours:
        if not ours:
            return work, None
        return _saved(work, lambda: _done(work, on_epoch))


def _done(work: _Work, on_epoch: Callable[[int], None] | None) -> FinishedTrial:
    """Do a trial in this process."""
    experiment, folder, *_ = work.task
    keep, key = work.keep, work.trial.key
    checkpoints = folder.path / "checkpoints" / key if keep.checkpoints else None
    logger = loggers.make(keep.logger, folder.path / "logs" / key) if keep.logger else None
    return run(experiment, work.trial, work.load(), on_epoch, checkpoints, logger)


def _on_cluster(work: list[_Work], cluster: Cluster) -> _Outcomes:
    """Claim trials here, have them done there, and save here what comes of them."""
    claims: dict[tuple[Path, str], ExitStack] = {}
    sent: dict[Any, Any] = {}

    def claimed(held: ExitStack) -> Iterator[tuple[_Work, tuple[Any, ...]]]:
        for each in work:
            experiment, folder, *_ = each.task
            claim = held.enter_context(ExitStack())
            if not claim.enter_context(folder.claim(each.trial, wait=each.wait)):
                claim.close()
                continue
            claims[_key(each)] = claim
            same = _materials_key(each.task)
            if same not in sent:
                sent[same] = cluster.put(each.load())
            yield each, (experiment, each.trial, sent[same])

    with ExitStack() as held:
        for each, outcome in held.enter_context(closing(cluster.map(run, claimed(held)))):
            with claims.pop(_key(each)):
                saved = _saved(each, outcome)
            yield saved


def _materials_key(task: Task) -> Hashable:
    """Return what is equal for tasks that are done with the same materials."""
    experiment = task.experiment
    sizes = experiment.train_size, experiment.test_size
    return experiment.data, sizes, experiment.network, task.own


def _saved(work: _Work, trained: Callable[[], FinishedTrial]) -> _Outcome:
    """Save what comes of a trial that is ours."""
    folder = work.task.folder
    try:
        done = trained()
    except errors.RunFolderError:  # A full disk is no fault of the trial.
        raise
    except Exception:
        if not work.keep_going:
            raise
        failure = _failure(work.trial)
        folder.save_failure(work.trial, failure)
        return work, failure
    if work.keep.weights:
        folder.save_weights(work.trial, pretrained.save(done.model, work.load().data))
    folder.save(work.trial, done.result, done.curves)
    return work, done.result


def _loader(task: Task, data_dir: Path | None) -> Loader:
    """Return a call that loads what a task needs, in this process or another."""
    return functools.partial(load, task.experiment, data_dir, task.own)


def _check(task: Task, data_dir: Path | None) -> tuple[str, str]:
    """Return the hash of a task's data and the name of its pretrained weights, or raise where they
    cannot be had or trained on."""
    experiment = task.experiment
    materials = _loader(task, data_dir)()
    augment.check(experiment.training.augment, materials.data.x_train, materials.data.problem)
    for activation in experiment.activations:
        check(experiment, Trial(activation=activation, seed=0), materials)
    weights = materials.weights
    return materials.data.digest, "" if weights is None else weights.name


def _check_alone(left: Sequence[_Work]) -> None:
    """Raise where processes would share a training (`hinged.lab.experiment.ranks`) of several that are left:
    all but the first know of their own alone."""
    if ranks().world > 1 and len(left) > 1:
        got = f"{left[0].task.folder.path}, where {len(left)} trainings are unfinished"
        hint = "finish the others without torchrun, or choose another folder with --out"
        raise errors.RunFolderError(errors.message("hinged train", got, hint))


def _opened(task: Task, digest: str, weights: str) -> Task:
    """Return the task with all that its folder holds, or raise where the folder's results were
    found on other data of the same name, or from other weights: seeds are compared in pairs."""
    folder = task.folder
    folder.open(task.experiment)
    for result in folder.results():
        if (result.data_digest, result.pretrained) != (digest, weights):
            other, name = "data", task.experiment.data
            if result.data_digest == digest:
                other, name = "weights", str(task.experiment.network.pretrained)
            raise errors.RunFolderError(
                f"{folder.path} holds results on other {other}, though they too are called {name}. "
                "Choose another folder with --out."
            )
    return task._replace(experiment=folder.experiment)


def _key(work: _Work) -> tuple[Path, str]:
    return work.task.folder.path, work.trial.key


def _is_done(work: _Work) -> bool:
    return work.task.folder.has(work.trial)


def _failure(trial: Trial) -> TrialFailure:
    """Return the record of the error that is being handled."""
    return TrialFailure(
        activation=trial.activation,
        seed=trial.seed,
        traceback=traceback.format_exc(),
        environment=environment.describe(),
        finished=now(),
    )
