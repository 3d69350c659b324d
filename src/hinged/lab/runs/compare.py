"""Trains the same network with different activations from the same seeds.

This is the main entry point: `compare` for one experiment, `compare_all` for several.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hinged import errors
from hinged.atomic_files import remove_partials
from hinged.lab.data import augment
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.runs.pending_trial import (
    ExperimentRun,
    Loader,
    PendingTrial,
    SaveOptions,
    TrialEnd,
    claim_and_train,
    save_record,
    train,
)
from hinged.lab.runs.ray_cluster import RayCluster
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.run_trial import check_trial, load_data_and_weights, run_trial
from hinged.lab.runs.trial_result import TrialFailure, TrialResult
from hinged.lab.runs.worker_processes import call_in_processes

_RESULT_ONLY = SaveOptions()


class ProgressListener:
    """Receives the progress of a comparison. The methods of this base class do nothing."""

    def on_start(self, trials: int, finished: int, epochs: int) -> None:
        """Called before the first training.

        Args:
            trials: number of all trials.
            finished: how many of them an earlier run has finished.
            epochs: epochs of the other trials together.
        """

    def on_trial_start(self, run: ExperimentRun, trial: Trial) -> None:
        """Called when a trial starts in this process."""

    def on_epoch(self, number: int) -> None:
        """Called when the trial in this process has finished `number` epochs."""

    def on_result(self, run: ExperimentRun, result: TrialResult) -> None:
        """Called when the result of a trial is saved."""

    def on_failure(self, run: ExperimentRun, failure: TrialFailure) -> None:
        """Called when a trial has raised an error and the error is saved."""


def compare(
    experiment: Experiment,
    folder: RunFolder,
    listener: ProgressListener,
    *,
    jobs: int = 1,
    threads: int = 1,
    cluster: RayCluster | None = None,
    save: SaveOptions = _RESULT_ONLY,
    data_dir: Path | None = None,
) -> list[TrialResult]:
    """Train every trial that the folder does not hold yet, and return all results.

    The arguments are those of `compare_all`.
    """
    compare_all(
        [ExperimentRun(experiment, folder)],
        listener,
        jobs=jobs,
        threads=threads,
        cluster=cluster,
        save=save,
        data_dir=data_dir,
    )
    return folder.results()


def compare_all(
    runs: Sequence[ExperimentRun],
    listener: ProgressListener,
    *,
    jobs: int = 1,
    threads: int = 1,
    cluster: RayCluster | None = None,
    save: SaveOptions = _RESULT_ONLY,
    data_dir: Path | None = None,
    continue_on_error: bool = False,
) -> None:
    """Train every trial that the folders do not hold yet.

    Several processes can do this with the same folders at once. A trial that another process
    trains is left to that process. At the end this process trains the trials that the other
    process did not finish.

    Args:
        runs: the experiments and their folders. All are checked before the first training.
        listener: receives the progress.
        jobs: number of trials at once, each in its own process; with 1 all trials run in this
            process.
        threads: number of torch threads for each trial. It can change the last bits of a result.
        cluster: train on this cluster instead, without checkpoints and loggers. Data are sent to
            the cluster and results come back; all files are read and written here.
        save: what is saved besides the results.
        data_dir: the folder of data sets, by default that of `HINGED_DATA`.
        continue_on_error: write the error of a trial into its folder and continue with the next
            trial, instead of raising it.

    Raises:
        RunFolderError: a folder holds another experiment, or results from other data or other
            pretrained weights, or cannot be written; or several processes share one training
            (`torchrun`), but more than one trial is unfinished.
        DataError: the data are missing or damaged.
        ArgumentError: a network cannot take its data.
    """
    # Check all of them first: an error after an hour of training would be worse.
    sources = [_check_experiment(run, data_dir) for run in runs]
    runs = [_open_folder(run, *source) for run, source in zip(runs, sources, strict=True)]
    trials = [
        PendingTrial(run, trial, _loader(run, data_dir), save, continue_on_error)
        for run in runs
        for trial in run.experiment.trials
    ]
    # In the order of seeds: a stopped comparison can be evaluated for the seeds it finished, and
    # slow phases of the machine affect all activations.
    trials.sort(key=lambda each: each.trial.seed)
    pending = [each for each in trials if not each.is_finished]
    _check_single_training(pending)
    epochs = sum(each.run.experiment.training.epochs for each in pending)
    listener.on_start(len(trials), len(trials) - len(pending), epochs)
    train_all = functools.partial(
        _train_all, listener=listener, jobs=jobs, threads=threads, cluster=cluster
    )
    try:
        with cluster or nullcontext():
            failed = _notify(listener, train_all(pending))
            claimed = [each for each in pending if each.key not in failed and not each.is_finished]
            _notify(listener, train_all([replace(each, wait=True) for each in claimed]))
    except BaseException:
        for run in runs:
            remove_partials(run.folder.path)
        raise
    for run in runs:
        run.folder.write_results_file()


def join_training(
    experiment: Experiment,
    folder: RunFolder,
    *,
    threads: int = 1,
    save: SaveOptions = _RESULT_ONLY,
    data_dir: Path | None = None,
) -> None:
    """Take part in a training that several processes share (`hinged.lab.experiment.torchrun`).

    The first process calls `compare` with the same arguments and saves the result; all others call
    this function. The experiment must have a single trial.
    """
    (trial,) = experiment.trials
    run = ExperimentRun(experiment, folder)
    if not folder.is_finished(trial):
        torch.set_num_threads(threads)
        train(PendingTrial(run, trial, _loader(run, data_dir), save, continue_on_error=False))


_TrialEnds = Generator[TrialEnd, None, None]


def _notify(listener: ProgressListener, ends: _TrialEnds) -> set[tuple[Path, str]]:
    """Tell the listener about the end of each trial; return the keys of the failed trials."""
    failed = set()
    with closing(ends):  # On an error, first stop the other trainings and release their locks.
        for pending, record in ends:
            if isinstance(record, TrialResult):
                listener.on_result(pending.run, record)
            elif record is not None:
                failed.add(pending.key)
                listener.on_failure(pending.run, record)
    return failed


def _train_all(
    pending: list[PendingTrial],
    listener: ProgressListener,
    jobs: int,
    threads: int,
    cluster: RayCluster | None,
) -> _TrialEnds:
    """Train the trials and yield the end of each."""
    if cluster is not None:
        return _train_on_cluster(pending, cluster)
    if jobs > 1:
        return call_in_processes(claim_and_train, [(each,) for each in pending], jobs, threads)
    return _train_here(pending, threads, listener)


def _train_here(
    pending: list[PendingTrial], threads: int, listener: ProgressListener
) -> _TrialEnds:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in pending:
            listener.on_trial_start(each.run, each.trial)
            yield claim_and_train(each, listener.on_epoch)
    finally:
        torch.set_num_threads(before)


def _train_on_cluster(pending: list[PendingTrial], cluster: RayCluster) -> _TrialEnds:
    """Claim trials here, train them on the cluster, and save their results here."""
    claims: dict[tuple[Path, str], ExitStack] = {}
    uploads: dict[Any, Any] = {}

    def claim_next(locks: ExitStack) -> Iterator[tuple[PendingTrial, tuple[Any, ...]]]:
        for each in pending:
            claim = locks.enter_context(ExitStack())
            if not claim.enter_context(each.run.folder.claim(each.trial, wait=each.wait)):
                claim.close()
                continue
            claims[each.key] = claim
            source = _data_source(each.run)
            if source not in uploads:
                uploads[source] = cluster.put(each.load())
            yield each, (each.run.experiment, each.trial, uploads[source])

    with ExitStack() as locks:
        results = locks.enter_context(closing(cluster.map(run_trial, claim_next(locks))))
        for each, get_finished in results:
            with claims.pop(each.key):
                end = save_record(each, get_finished)
            yield end


def _data_source(run: ExperimentRun) -> Hashable:
    """Return a key that is equal for runs with the same data and weights."""
    experiment = run.experiment
    sizes = experiment.train_size, experiment.test_size
    return experiment.data, sizes, experiment.network, run.study_weights


def _loader(run: ExperimentRun, data_dir: Path | None) -> Loader:
    """Return a call that loads data and weights, in this process or another."""
    return functools.partial(load_data_and_weights, run.experiment, data_dir, run.study_weights)


def _check_experiment(run: ExperimentRun, data_dir: Path | None) -> tuple[str, str]:
    """Return the hash of the data and the name of the pretrained weights; raise if a trial cannot
    be trained."""
    experiment = run.experiment
    loaded = _loader(run, data_dir)()
    augment.check_augmentations(
        experiment.training.augment, loaded.data.x_train, loaded.data.problem
    )
    for activation in experiment.activations:
        check_trial(experiment, Trial(activation=activation, seed=0), loaded)
    return loaded.data.digest, "" if loaded.weights is None else loaded.weights.name


def _check_single_training(pending: Sequence[PendingTrial]) -> None:
    """Raise if several processes share the training and more than one trial is unfinished: all but
    the first process know only one trial."""
    if torchrun_process().world_size > 1 and len(pending) > 1:
        got = f"{pending[0].run.folder.path}, where {len(pending)} trainings are unfinished"
        hint = "finish the others without torchrun, or choose another folder"
        raise errors.RunFolderError(errors.message("hinged train", got, hint))


def _open_folder(run: ExperimentRun, data_digest: str, weights: str) -> ExperimentRun:
    """Open the folder and return the run with all trials of the folder.

    Raises:
        RunFolderError: the folder's results are from other data or weights of the same name, which
            must not be compared with new results.
    """
    folder = run.folder
    folder.open(run.experiment)
    for result in folder.results():
        if (result.data_digest, result.pretrained) != (data_digest, weights):
            kind, name = "data", run.experiment.data
            if result.data_digest == data_digest:
                kind, name = "weights", str(run.experiment.network.pretrained)
            raise errors.RunFolderError(
                f"{folder.path} holds results on other {kind} of the same name, {name}; "
                "choose another folder."
            )
    return run._replace(experiment=folder.experiment)
