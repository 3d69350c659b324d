"""Checks of experiments before their first training. A late error would waste hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hinged import errors
from hinged.lab.experiment.schema import Trial
from hinged.lab.experiment.torchrun import torchrun_process
from hinged.lab.runs.pending_trial import ExperimentRun, PendingTrial
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_trial import DataAndWeights, check_trial, count_train_samples
from hinged.lab.training import loggers
from hinged.lab.training.travel import describe_still_curves


class CheckedExperiment(NamedTuple):
    """What is known about an experiment before its first training.

    Attributes:
        data_digest: the hash of the data.
        weights: the name of the pretrained weights; empty if the experiment uses none.
        warning: a sentence if its curves cannot travel far enough to change; None if they can.
    """

    data_digest: str
    weights: str
    warning: str | None


def check_experiment(run: ExperimentRun, loaded: DataAndWeights) -> CheckedExperiment:
    """Check that all networks of an experiment can be trained, and identify its data and weights.

    Args:
        run: the experiment.
        loaded: its data and pretrained weights.

    Raises:
        ArgumentError: if a network cannot be trained on the data.
    """
    experiment = run.experiment
    for activation in experiment.activations:
        check_trial(experiment, Trial(activation=activation, seed=0), loaded)
    return CheckedExperiment(
        loaded.data.digest,
        "" if loaded.weights is None else loaded.weights.name,
        describe_still_curves(experiment, count_train_samples(experiment, loaded)),
    )


def report_warnings(
    runs: Sequence[ExperimentRun],
    checked: Sequence[CheckedExperiment],
    listener: ProgressListener,
) -> None:
    """Report each warning once. Labels of experiments are added if some others do not have it."""
    labels: dict[str, list[str]] = {}
    for run, found in zip(runs, checked, strict=True):
        if found.warning is not None:
            labels.setdefault(found.warning, []).append(run.label)
    for warning, names in labels.items():
        everywhere = len(names) == len(runs)
        listener.on_warning(warning if everywhere else f"{', '.join(names)}: {warning}")


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
