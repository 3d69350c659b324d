"""A trial still to train: another process can receive it, train it and save its result."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hinged import errors
from hinged.lab.experiment import environment
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.networks import pretrained
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.run_trial import DataAndWeights, FinishedTrial, run_trial, utc_now
from hinged.lab.runs.trial_result import TrialFailure, TrialResult
from hinged.lab.training import loggers

Loader = Callable[[], DataAndWeights]


class ExperimentRun(NamedTuple):
    """An experiment and the folder of its results.

    Attributes:
        experiment: the experiment; if the folder holds part of it, only the rest is trained.
        folder: the folder of its results.
        label: the name of the experiment among several.
        study_weights: the file that `hinged.lab.networks.pretrained.FROM_STUDY` stands for.
    """

    experiment: Experiment
    folder: RunFolder
    label: str = ""
    study_weights: Path | None = None


class SaveOptions(NamedTuple):
    """What is saved of a trial besides its result and its curves.

    Attributes:
        checkpoints: a checkpoint each epoch; an unfinished trial continues from the last one.
        weights: the trained network (`RunFolder.weights_path`), which
            `NetworkSettings.pretrained` can name.
        logger: the name of a logger (`hinged.lab.training.loggers`) that records every epoch.
    """

    checkpoints: bool = False
    weights: bool = False
    logger: str = ""


@dataclass(frozen=True)
class PendingTrial:
    """A trial that was not finished when the comparison started.

    Attributes:
        run: the experiment and its folder.
        trial: the trial.
        load: returns the data and weights.
        save: what is saved besides the result.
        continue_on_error: save an error of the training instead of raising it.
        wait: wait while another process holds the trial, instead of leaving it out.
    """

    run: ExperimentRun
    trial: Trial
    load: Loader
    save: SaveOptions
    continue_on_error: bool
    wait: bool = False

    @property
    def key(self) -> tuple[Path, str]:
        """Return a key that no other trial has."""
        return self.run.folder.path, self.trial.key

    @property
    def is_finished(self) -> bool:
        """Whether the result is saved by now."""
        return self.run.folder.is_finished(self.trial)


TrialEnd = tuple[PendingTrial, TrialResult | TrialFailure | None]
"""A trial and its saved record; None if another process has finished or claimed the trial."""


def claim_and_train(
    pending: PendingTrial, on_epoch: Callable[[int], None] | None = None
) -> TrialEnd:
    """Train a trial in this process and save its record, unless another process has it."""
    with pending.run.folder.claim(pending.trial, wait=pending.wait) as claimed:
        if not claimed:
            return pending, None
        return save_record(pending, lambda: train(pending, on_epoch))


def train(pending: PendingTrial, on_epoch: Callable[[int], None] | None = None) -> FinishedTrial:
    """Train a trial in this process."""
    folder, key, save = pending.run.folder.path, pending.trial.key, pending.save
    checkpoints = folder / "checkpoints" / key if save.checkpoints else None
    logger = loggers.make_logger(save.logger, folder / "logs" / key) if save.logger else None
    experiment = pending.run.experiment
    return run_trial(experiment, pending.trial, pending.load(), on_epoch, checkpoints, logger)


def save_record(pending: PendingTrial, get_finished: Callable[[], FinishedTrial]) -> TrialEnd:
    """Save the result of a claimed trial, or its error if `continue_on_error` is set.

    Args:
        pending: the trial.
        get_finished: returns the finished trial, or raises the error of its training.
    """
    folder = pending.run.folder
    try:
        finished = get_finished()
    except errors.RunFolderError:  # A full disk is not a fault of the trial.
        raise
    except Exception:
        if not pending.continue_on_error:
            raise
        failure = TrialFailure(
            activation=pending.trial.activation,
            seed=pending.trial.seed,
            traceback=traceback.format_exc(),
            environment=environment.describe_environment(),
            finished=utc_now(),
        )
        folder.save_failure(pending.trial, failure)
        return pending, failure
    if pending.save.weights:
        weights = pretrained.serialize_weights(finished.model, pending.load().data)
        folder.save_weights(pending.trial, weights)
    folder.save_result(pending.trial, finished.result, finished.curves)
    return pending, finished.result
