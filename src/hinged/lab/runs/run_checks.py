"""Checks of experiments before their first training. A late error would waste hours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hinged import errors
from hinged.lab.data.validation_split import hold_out
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.runs.pending_trial import ExperimentRun, PendingTrial
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_trial import DataAndWeights, check_trial, data_of_trial
from hinged.lab.training import loggers
from hinged.lab.training.travel import describe_still_curves


class CheckedExperiment(NamedTuple):
    """What is known about an experiment before its first training.

    Attributes:
        data_digest: the hash of the data.
        weights: the name of the pretrained weights; empty if the experiment uses none.
        notes: sentences about what was found in the data.
        warnings: reasons why its results may prove nothing, and what to do.
    """

    data_digest: str
    weights: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def check_experiment(run: ExperimentRun, loaded: DataAndWeights) -> CheckedExperiment:
    """Check that all networks of an experiment can be trained, and identify its data and weights.

    Args:
        run: the experiment.
        loaded: its data and pretrained weights.

    Raises:
        ArgumentError: if a network cannot be trained on the data.
        DataError: if a fold of a table has nothing to learn.
    """
    experiment = run.experiment
    for activation in experiment.activations:
        check_trial(experiment, Trial(activation=activation, seed=0), loaded)
    _check_rows(experiment, loaded)
    first = data_of_trial(experiment, experiment.trials[0], loaded)
    still = describe_still_curves(experiment, len(first.x_train))
    found, warnings = first.notes
    return CheckedExperiment(
        loaded.data.digest,
        "" if loaded.weights is None else loaded.weights.name,
        (f"{first.about}.", *found) if found else (),
        (*warnings, *(() if still is None else (still,))),
    )


def _check_rows(experiment: Experiment, loaded: DataAndWeights) -> None:
    """Raise an error if the rows of a table cannot be divided at a later seed."""
    if loaded.data.source is None:
        return
    for seed in experiment.seeds:
        trial = Trial(activation=experiment.activations[0], seed=seed)
        data = data_of_trial(experiment, trial, loaded)
        if experiment.training.validation:
            hold_out(data, experiment.training.validation, seed)


def report_findings(
    runs: Sequence[ExperimentRun],
    checked: Sequence[CheckedExperiment],
    listener: ProgressListener,
) -> None:
    """Report each note and each warning once.

    Labels of experiments are added if some others do not have it.
    """
    for sentence in _with_labels(runs, [found.notes for found in checked]):
        listener.on_note(sentence)
    for sentence in _with_labels(runs, [found.warnings for found in checked]):
        listener.on_warning(sentence)


def _with_labels(
    runs: Sequence[ExperimentRun], sentences: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    """Yield each sentence once, after the labels of its experiments if some do not have it."""
    labels: dict[str, list[str]] = {}
    for run, own in zip(runs, sentences, strict=True):
        for sentence in own:
            labels.setdefault(sentence, []).append(run.label)
    for sentence, names in labels.items():
        yield sentence if len(names) == len(runs) else f"{', '.join(names)}: {sentence}"


def check_logger(name: str, runs: Sequence[ExperimentRun], *, on_cluster: bool) -> None:
    """Raise an error if a logger cannot record the trainings.

    Args:
        name: the name of the logger; empty for no logger.
        runs: the experiments.
        on_cluster: whether a Ray cluster trains. It has no folder for the logs.
    """
    if name and on_cluster:
        hint = "leave one of the two out: trainings on a Ray cluster cannot be logged"
        raise errors.ArgumentError(errors.message("logger", f"{name} with a Ray cluster", hint))
    for run in runs if name else ():
        for activation in run.experiment.activations:
            optimizer = run.experiment.for_activation(activation).training.optimizer
            loggers.check_logger(name, optimizer)


def check_single_training(pending: Sequence[PendingTrial]) -> None:
    """Raise an error if `torchrun` started this process and more than one trial is unfinished.

    Processes with a rank above 0 know only one trial, so they could not join the other trials.
    """
    if torchrun_process().world_size > 1 and len(pending) > 1:
        got = f"{pending[0].run.folder.path}, where {len(pending)} trainings are unfinished"
        hint = (
            "torchrun can run only one training: run the same command without torchrun to finish "
            "the folder, or choose another folder"
        )
        raise errors.RunFolderError(errors.message("hinged train", got, hint))
