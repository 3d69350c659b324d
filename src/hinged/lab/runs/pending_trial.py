"""A trial that has not been trained yet, in a form that can be sent to another process.

A trial is one training: one activation from one seed.
"""

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
from hinged.lab.runs.worker_processes import send_message
from hinged.lab.training import loggers

Loader = Callable[[], DataAndWeights]


class ExperimentRun(NamedTuple):
    """An experiment and the folder of its results.

    Attributes:
        experiment: the experiment. Networks with a result in the folder are not trained again.
        folder: the run folder of the experiment.
        label: a name that distinguishes the experiment from others in the progress output.
        study_weights: the file of pretrained weights that the setting `pretrained = "study"` means;
            None outside of studies.
        tuned_in: the run folder whose tuning chooses the settings, if settings are tuned; None for
            `folder`.
    """

    experiment: Experiment
    folder: RunFolder
    label: str = ""
    study_weights: Path | None = None
    tuned_in: RunFolder | None = None


class SaveOptions(NamedTuple):
    """The files that are saved of a trial in addition to its result and its curves.

    A trial is one training: one activation from one seed.

    Attributes:
        checkpoints: whether a checkpoint is saved after each epoch. An interrupted trial continues
            from its last checkpoint.
        weights: whether the trained network is saved, in the file `RunFolder.weights_path`. The
            setting `network.pretrained` can name this file.
        logger: name of a logger in `hinged.lab.training.loggers` that records every epoch; empty
            for no logger.
    """

    checkpoints: bool = False
    weights: bool = False
    logger: str = ""


@dataclass(frozen=True)
class PendingTrial:
    """A trial (one activation from one seed) that was not finished when the comparison started.

    Attributes:
        run: the experiment and its run folder.
        trial: the activation and the seed.
        load: a function that returns the data and the pretrained weights.
        save: the files that are saved in addition to the result.
        continue_on_error: whether an error of the training is saved instead of raised.
        wait: whether to wait while another process trains this trial. If False, the trial is
            skipped.
    """

    run: ExperimentRun
    trial: Trial
    load: Loader
    save: SaveOptions
    continue_on_error: bool
    wait: bool = False

    @property
    def key(self) -> tuple[Path, str]:
        """Return the path of the run folder and the name of the trial, which identify the trial."""
        return self.run.folder.path, self.trial.key

    @property
    def is_finished(self) -> bool:
        """Whether the run folder holds a result of this trial, from any process."""
        return self.run.folder.is_finished(self.trial)


TrialEnd = tuple[PendingTrial, TrialResult | TrialFailure | None]
"""A pair: a trial, and its saved result or error.

The second item is None if another process has finished the trial or is training it.
"""


def claim_and_train(
    pending: PendingTrial, on_epoch: Callable[[int], None] | None = None
) -> TrialEnd:
    """Train a trial (one activation from one seed) in this process, and save its result or error.

    The trial is skipped if it is finished, or if another process trains it and `pending.wait` is
    False.

    Args:
        pending: the trial.
        on_epoch: called after each epoch with the number of finished epochs.

    Returns:
        A pair: the trial, and its saved result or error. The second item is None if the trial was
        skipped.
    """
    with pending.run.folder.claim(pending.trial, wait=pending.wait) as claimed:
        if not claimed:
            return pending, None
        return save_record(pending, lambda: train(pending, on_epoch))


def train_in_worker(index: int, pending: PendingTrial) -> TrialEnd:
    """Train a trial as `claim_and_train` does, in a process of `call_in_processes`.

    The parent gets a message at the start and after each epoch: a pair of `index` and the number of
    finished epochs.

    Args:
        index: number of the trial, for the messages.
        pending: the trial.
    """
    send_message((index, 0))
    return claim_and_train(pending, lambda epochs: send_message((index, epochs)))


def train(pending: PendingTrial, on_epoch: Callable[[int], None] | None = None) -> FinishedTrial:
    """Train a network in this process, and return it with its result, which is not saved.

    Args:
        pending: the activation, the seed and the experiment.
        on_epoch: called after each epoch with the number of finished epochs.
    """
    folder, key, save = pending.run.folder.path, pending.trial.key, pending.save
    checkpoints = folder / "checkpoints" / key if save.checkpoints else None
    logger = loggers.make_logger(save.logger, folder / "logs" / key) if save.logger else None
    experiment = pending.run.experiment
    return run_trial(experiment, pending.trial, pending.load(), on_epoch, checkpoints, logger)


def save_record(pending: PendingTrial, get_finished: Callable[[], FinishedTrial]) -> TrialEnd:
    """Save the result of a training, or its error if `pending.continue_on_error` is True.

    Args:
        pending: the trial that was trained. This process must hold the lock of the trial, which
            `RunFolder.claim` sets.
        get_finished: a function that returns the finished trial, or raises the error of its
            training.

    Returns:
        A pair: the trial, and its saved result or error.

    Raises:
        RunFolderError: if a file cannot be written, for example because the disk is full.
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
    folder.save_result(pending.trial, finished.result, finished.curves, finished.predictions)
    return pending, finished.result
