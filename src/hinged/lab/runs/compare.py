"""Training the same network with different activations from the same seeds.

`compare` runs one experiment, and `compare_all` runs several. A trial is one training: one
activation from one seed. A run folder holds the results of one experiment.
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
from hinged.lab.experiment.schema import Experiment
from hinged.lab.runs.pending_trial import (
    ExperimentRun,
    Loader,
    PendingTrial,
    SaveOptions,
    TrialEnd,
    claim_and_train,
    save_record,
    train,
    train_in_worker,
)
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.ray_cluster import RayCluster
from hinged.lab.runs.run_checks import (
    CheckedExperiment,
    check_experiment,
    check_logger,
    check_single_training,
    report_findings,
)
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.run_trial import load_data_and_weights, run_trial
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.runs.worker_processes import call_in_processes

_RESULT_ONLY = SaveOptions()


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
    """Train one network with each activation from each seed, and return all results.

    Each activation with each seed is a trial of the experiment. Trials with a result in the folder
    are not trained again.

    Args:
        experiment: the network, the data, the activations and the seeds.
        folder: the folder for the results. It may hold results of an earlier run of the same
            experiment.
        listener: an object whose methods are called when trials start, progress and end.
        jobs: number of trials that run at the same time, each in a separate process. With 1, all
            trials run in this process, one after the other.
        threads: number of torch threads for each trial.
        cluster: the Ray cluster that trains; None to train on this machine.
        save: the files that are saved in addition to the results.
        data_dir: the folder of data sets; None for the folder that the environment variable
            `HINGED_DATA` names.

    Raises:
        RunFolderError: if the folder cannot be written, or holds another experiment, or holds
            results from other data or other pretrained weights.
        DataError: if data are missing or damaged.
        ArgumentError: if the network cannot be trained on the data.
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
    """Train all unfinished trials of several experiments, and save their results.

    A trial is one training: one activation from one seed. It is unfinished if the run folder of its
    experiment holds no result for it.

    Several processes may run this function on the same folders at the same time. Each trial is
    trained by one process only. If a process is killed, another process trains its trial.

    Args:
        runs: the experiments and their run folders. All experiments are checked before the first
            training.
        listener: an object whose methods are called when trials start, progress and end.
        jobs: number of trials that run at the same time, each in a separate process. With 1, all
            trials run in this process, one after the other.
        threads: number of torch threads for each trial. A different number can change the last
            digits of a result.
        cluster: the Ray cluster that trains; None to train on this machine. A cluster saves no
            checkpoints and uses no loggers. This machine reads and writes all files.
        save: the files that are saved in addition to the results.
        data_dir: the folder of data sets; None for the folder that the environment variable
            `HINGED_DATA` names.
        continue_on_error: whether to save the error of a trial in its run folder and continue with
            the next trial. If False, the error is raised and no further trial starts.

    Raises:
        RunFolderError: if a run folder cannot be written, or holds another experiment, or holds
            results from other data or other pretrained weights. Also if `torchrun` started this
            process and more than one trial is unfinished.
        DataError: if data are missing or damaged.
        ArgumentError: if a network cannot be trained on its data, or if a training cannot be
            logged.
        MissingExtraError: if the package of the logger is not installed.
        WorkerError: if one of several processes is killed, for example because memory runs out.
    """
    # Check everything before the first training: a late error would waste hours.
    check_logger(save.logger, runs, on_cluster=cluster is not None)
    checked = [check_experiment(run, _loader(run, data_dir)()) for run in runs]
    asked = [run.experiment for run in runs]
    runs = [_open_folder(run, found) for run, found in zip(runs, checked, strict=True)]
    trials = [
        PendingTrial(run, trial, _loader(run, data_dir), save, continue_on_error)
        for run in runs
        for trial in run.experiment.trials
    ]
    # All activations of one seed run before the next seed. So a stopped comparison can be evaluated
    # for its finished seeds, and slow phases of the machine affect all activations.
    trials.sort(key=lambda each: each.trial.seed)
    pending = [each for each in trials if not each.is_finished]
    check_single_training(pending)
    epochs = sum(each.run.experiment.training.epochs for each in pending)
    at_once = jobs if cluster is None else None
    listener.on_start(len(trials), len(trials) - len(pending), epochs, at_once)
    if pending:
        report_findings(runs, checked, listener)
        _warn_of_added_trials(asked, runs, listener)
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
    """Train one network together with other processes that `torchrun` started.

    The process with rank 0 calls `compare` and saves the result. All other processes call this
    function with the same arguments; they save no result.

    Args:
        experiment: the experiment; it must have exactly one activation and one seed.
        folder: its run folder.
        threads: number of torch threads of this process.
        save: the files that are saved in addition to the result.
        data_dir: the folder of data sets; None for the folder that the environment variable
            `HINGED_DATA` names.
    """
    (trial,) = experiment.trials
    run = ExperimentRun(experiment, folder)
    if not folder.is_finished(trial):
        torch.set_num_threads(threads)
        train(PendingTrial(run, trial, _loader(run, data_dir), save, continue_on_error=False))


_TrialEnds = Generator[TrialEnd, None, None]


def _notify(listener: ProgressListener, ends: _TrialEnds) -> set[tuple[Path, str]]:
    """Report the end of each trial to the listener, and return the failed trials.

    Returns:
        A pair for each failed trial: the path of its run folder, and the name of the trial.
    """
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
    """Train the pending trials, on the cluster if there is one, otherwise on this machine.

    Yields:
        A pair for each trial: the trial, and its saved result or error.
    """
    if cluster is not None:
        return _train_on_cluster(pending, cluster)
    if jobs > 1:
        return _train_in_processes(pending, jobs, threads, listener)
    return _train_here(pending, threads, listener)


def _train_in_processes(
    pending: list[PendingTrial], jobs: int, threads: int, listener: ProgressListener
) -> _TrialEnds:
    def report(message: tuple[int, int]) -> None:
        (index, epochs) = message
        run, trial = pending[index].run, pending[index].trial
        if epochs:
            listener.on_epoch(run, trial, epochs)
        else:
            listener.on_trial_start(run, trial)

    return call_in_processes(train_in_worker, list(enumerate(pending)), jobs, threads, report)


def _train_here(
    pending: list[PendingTrial], threads: int, listener: ProgressListener
) -> _TrialEnds:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in pending:
            listener.on_trial_start(each.run, each.trial)
            yield claim_and_train(each, functools.partial(listener.on_epoch, each.run, each.trial))
    finally:
        torch.set_num_threads(before)


def _train_on_cluster(pending: list[PendingTrial], cluster: RayCluster) -> _TrialEnds:
    """Train the pending trials on the cluster. This process locks them and saves their results.

    Yields:
        A pair for each trial: the trial, and its saved result or error.
    """
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
    """Return a key that is equal for two runs with the same data and pretrained weights."""
    experiment = run.experiment
    sizes = experiment.train_size, experiment.test_size
    return experiment.data, sizes, experiment.table, experiment.network, run.study_weights


def _loader(run: ExperimentRun, data_dir: Path | None) -> Loader:
    """Return a function that loads the data and the pretrained weights of an experiment.

    The function has no arguments and can be sent to another process.
    """
    return functools.partial(load_data_and_weights, run.experiment, data_dir, run.study_weights)


def _open_folder(run: ExperimentRun, found: CheckedExperiment) -> ExperimentRun:
    """Open the run folder of an experiment, and add the trials in the folder to the experiment.

    Args:
        run: the experiment and its run folder.
        found: the hash of its data, and the name of its pretrained weights.

    Returns:
        The folder, and the experiment with the activations and seeds of this and earlier runs.

    Raises:
        RunFolderError: if the folder holds results from other data or other pretrained weights of
            the same name. Such results must not be compared with new results.
    """
    folder = run.folder
    folder.open(run.experiment)
    for result in folder.results():
        if (result.data_digest, result.pretrained) != (found.data_digest, found.weights):
            kind, name = "data", run.experiment.data
            if result.data_digest == found.data_digest:
                kind, name = "weights", str(run.experiment.network.pretrained)
            raise errors.RunFolderError(
                f"{folder.path} holds results on other {kind} of the same name, {name}: the files "
                f"of the {kind} have changed since these results were computed. New results cannot "
                "be compared with them. Choose another folder."
            )
    return run._replace(experiment=folder.experiment)


def _warn_of_added_trials(
    asked: Sequence[Experiment], runs: Sequence[ExperimentRun], listener: ProgressListener
) -> None:
    """Warn of unfinished trials that only earlier runs in the folders have asked for.

    Args:
        asked: the experiment of each run.
        runs: the folders, and the experiments with the activations and seeds of this and earlier
            runs.
        listener: is warned once.
    """
    added = [
        (run, trial)
        for experiment, run in zip(asked, runs, strict=True)
        for trial in run.experiment.trials
        if trial not in experiment.trials and not run.folder.is_finished(trial)
    ]
    if added:
        folders = list(dict.fromkeys(run.folder.path for run, _ in added))
        others = len(folders) - 1
        hold = f"and {others} other{'s' * (others > 1)} hold" if others else "holds"
        activations = (name for run in runs for name in run.experiment.activations)
        left = {trial.activation for _, trial in added}
        names = ", ".join(dict.fromkeys(name for name in activations if name in left))
        listener.on_warning(
            f"{folders[0]} {hold} an earlier run with other activations or seeds, which is "
            f"completed too: {len(added)} more trainings, of {names}. Choose another folder "
            "(--out) to train only what this command names."
        )
