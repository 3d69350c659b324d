"""The run folder: the files of one experiment.

    config.json                  the settings of the experiment
    trials/KEY.json              the result of one finished trial (one activation from one seed)
    failed/KEY.json              the error that ended a trial
    curves/KEY.safetensors       the learned curves of a trial and the histograms of their inputs
    predictions/KEY.safetensors  what is kept of the predictions of a trial on the test split
    weights/KEY.safetensors      the trained network of a trial, if it is saved
    results.jsonl                the results of all finished trials, one line for each trial
    tuning/1, tuning/2 ...       run folders of the tuning, if settings were tuned
    report.html, plots/          the page and pictures that `hinged report` writes

Several processes may use one run folder at the same time, and each may be killed at any moment.
Each file is written under a temporary name and then renamed, so no file is ever incomplete. A
process that trains a trial holds a lock on the trial. The operating system releases the lock when
the process ends, even if it is killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from hinged import errors
from hinged.atomic_files import PARTIAL, remove_partials
from hinged.lab._read_file import explain_read_errors
from hinged.lab._write_file import explain_write_errors, possible_path, write_file
from hinged.lab.experiment.schema import Experiment, Trial, read_experiment
from hinged.lab.problems.predictions import (
    Predictions,
    read_predictions,
    serialize_predictions,
)
from hinged.lab.runs.read_records import read_failure, read_result, settings_by_activation
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

TUNING = "tuning"
"""The folder in a run folder that contains the run folders of its tuning."""
_BELONGS_TO_TUNING = re.compile(rf"{TUNING}/\d+/")


class RunFolder:
    """The run folder of one experiment: its settings, results and learned curves as files.

    A trial of the experiment is one training: one activation from one seed. Several processes may
    use the folder at the same time.

    Args:
        path: path of the folder. It need not exist; the method `open` creates it.

    Raises:
        RunFolderError: if the file system allows no such path.
    """

    def __init__(self, path: Path) -> None:
        self.path = possible_path(path)

    @property
    def holds_experiment(self) -> bool:
        """Whether the folder holds an experiment, so that it is a run folder."""
        return self._config.exists()

    @property
    def experiment(self) -> Experiment:
        """Return the experiment that the file `config.json` describes.

        Raises:
            RunFolderError: if the folder holds no experiment.
        """
        if not self.holds_experiment:
            raise errors.RunFolderError(
                f"{self.path} holds no experiment: the file {self._config.name} is missing in it. "
                "Give a folder that `hinged compare` or `hinged train` has written."
            )
        return read_experiment(self._config)

    def open(self, experiment: Experiment) -> None:
        """Create the folder for an experiment, or add activations and seeds to the folder.

        Args:
            experiment: the experiment. If the folder holds an experiment already, only activations,
                seeds and baseline may differ from it.

        Raises:
            RunFolderError: if the folder holds another experiment or other files, or cannot be
                written.
        """
        self.check_usable()
        with explain_write_errors(self.path):
            for name in ("trials", "curves", "plots", ".locks"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        with self._lock("folder"):
            if self.holds_experiment:
                self._check_same_experiment(experiment)
                experiment = experiment.with_trials_of(self.experiment)
            remove_partials(self.path)
            write_file(self._config, experiment.model_dump_json(indent=2) + "\n")

    def check_usable(self) -> None:
        """Raise an error if the folder holds files that belong to no experiment.

        Raises:
            RunFolderError: in this case, and if there is a file in place of the folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise errors.RunFolderError(
                f"{self.path} is a file, but results need a folder. Choose a folder."
            )
        # The order matters: another process may write the experiment between the two checks.
        if self._holds_other_files() and not self.holds_experiment:
            raise errors.RunFolderError(
                f"{self.path} holds files but no experiment: the file {self._config.name} is "
                "missing in it. Choose an empty folder, so that other files are not mixed with "
                "results."
            )

    def is_finished(self, trial: Trial) -> bool:
        """Whether the result of a trial (an activation and a seed) is saved in this folder."""
        return self._result_path(trial).exists()

    @contextmanager
    def claim(self, trial: Trial, *, wait: bool) -> Iterator[bool]:
        """Hold the lock of a trial (an activation and a seed) while a `with` block runs.

        A lock prevents other processes from training the same trial.

        Args:
            trial: the activation and the seed.
            wait: whether to wait while another process holds the lock.

        Yields:
            True if the caller must train the trial. False if the trial is finished, or if another
            process holds the lock and `wait` is False.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock(trial.key, wait=wait))
            except Timeout:
                yield False
            else:
                yield not self.is_finished(trial)

    def save_result(
        self,
        trial: Trial,
        result: TrialResult,
        curves: dict[str, Tensor],
        predictions: Predictions | None = None,
    ) -> None:
        """Save the result and the curves of a finished trial, and update `results.jsonl`.

        Args:
            trial: the activation and the seed.
            result: the result of the training.
            curves: the tensors of its learned curves by name; empty if the network has no curves.
            predictions: what is kept of its predictions on the test split; None to keep nothing.
        """
        # An earlier training of this trial, whose result was deleted, may have left these files.
        for path in (self.curves_path(trial), self._predictions_path(trial)):
            path.unlink(missing_ok=True)
        # The result is written last: it marks the trial as finished.
        if curves:
            write_file(self.curves_path(trial), safetensors.torch.save(curves))
        if predictions is not None:
            write_file(self._predictions_path(trial), serialize_predictions(predictions))
        write_file(self._result_path(trial), result.model_dump_json(indent=2) + "\n")
        self._failure_path(trial).unlink(missing_ok=True)
        self.write_results_file()

    def save_weights(self, trial: Trial, weights: bytes) -> None:
        """Save the weights of a trained network.

        Call this before `save_result`, because a trial with a saved result is not trained again.

        Args:
            trial: the activation and the seed of the network.
            weights: content of the file, in the format of safetensors.
        """
        write_file(self.weights_path(trial), weights)

    def save_failure(self, trial: Trial, failure: TrialFailure) -> None:
        """Save the error that ended the training of a trial (an activation and a seed).

        The next run on this folder trains the trial again.
        """
        write_file(self._failure_path(trial), failure.model_dump_json(indent=2) + "\n")

    def weights_path(self, trial: Trial) -> Path:
        """Return the path of the weights file of a trial (an activation and a seed).

        The file exists only if `save_weights` was called for this trial.
        """
        return self.path / "weights" / f"{trial.key}.safetensors"

    def write_results_file(self) -> None:
        """Write the results of all finished trainings into the file `results.jsonl`."""
        with self._lock("results"):
            lines = [result.model_dump_json() + "\n" for result in self.results()]
            write_file(self.path / "results.jsonl", "".join(lines))

    def results(self) -> list[TrialResult]:
        """Return the results of all finished trainings, in the order of `Experiment.trials`.

        Raises:
            RunFolderError: if the file of a result is damaged, or belongs to another trial or to
                other settings.
        """
        experiment = self.experiment
        settings = settings_by_activation(experiment)
        paths = {trial: self._result_path(trial) for trial in experiment.trials}
        return [
            read_result(path, trial, settings[trial.activation])
            for trial, path in paths.items()
            if path.exists()
        ]

    def read_results_file(self) -> list[TrialResult]:
        """Return the results in the file `results.jsonl`.

        This also works in a repository that contains only this file of a run folder.

        Raises:
            RunFolderError: if the file is missing or damaged.
        """
        path = self.path / "results.jsonl"
        advice = "Delete it, and run the same command again: it is written from the results."
        with explain_read_errors(path, "a file with a result in each line", advice):
            lines = path.read_text(encoding="utf-8").splitlines()
            return [TrialResult.model_validate_json(line) for line in lines]

    def failures(self) -> list[TrialFailure]:
        """Return the saved errors of all trainings that failed and have no result since.

        Raises:
            RunFolderError: if a file is damaged.
        """
        paths = [self._failure_path(trial) for trial in self.experiment.trials]
        return [read_failure(path) for path in paths if path.exists()]

    def load_curves(self, trial: Trial) -> dict[str, Tensor]:
        """Return the saved learned curves of a trial (an activation and a seed).

        They are tensors by name, in the form that `hinged.lab.training.snapshots` reads. The dict
        is empty if no curves were saved.

        Raises:
            RunFolderError: if the file is damaged.
        """
        path = self.curves_path(trial)
        if not path.exists():
            return {}
        with explain_read_errors(path, "a file of curves", self.how_to_redo(trial)):
            return safetensors.torch.load_file(path)

    def load_predictions(self, trial: Trial) -> Predictions | None:
        """Return the saved predictions of a trial (an activation and a seed) on the test split.

        They are None if none were saved, as in the folders of earlier versions.

        Raises:
            RunFolderError: if the file is damaged.
        """
        path = self._predictions_path(trial)
        if not path.exists():
            return None
        with explain_read_errors(path, "a file of predictions", self.how_to_redo(trial)):
            return read_predictions(path)

    def how_to_redo(self, trial: Trial) -> str:
        """Return a sentence that says how to train a finished trial again."""
        return (
            f"Delete {self._result_path(trial)}, and run the same command again to train the trial "
            "again."
        )

    def has_lost_curves(self, result: TrialResult) -> bool:
        """Return whether a finished trial had trained curves, and their file is missing."""
        trial = Trial(activation=result.activation, seed=result.seed)
        trained = result.activation == "hinged" and result.activation_parameters > 0
        return trained and not self.curves_path(trial).exists()

    @contextmanager
    def _lock(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a lock of the folder while a `with` block runs.

        Args:
            name: name of the lock. Another process waits only for a lock of the same name.
            wait: whether to wait while another process holds the lock.

        Raises:
            Timeout: if another process holds the lock and `wait` is False.
        """
        lock = FileLock(self.path / ".locks" / name)
        with explain_write_errors(Path(lock.lock_file)):
            lock.acquire(blocking=wait)
        try:
            yield
        finally:
            lock.release()

    @property
    def _config(self) -> Path:
        return self.path / "config.json"

    def _result_path(self, trial: Trial) -> Path:
        return self.path / "trials" / f"{trial.key}.json"

    def _failure_path(self, trial: Trial) -> Path:
        return self.path / "failed" / f"{trial.key}.json"

    def curves_path(self, trial: Trial) -> Path:
        """Return the path of the learned curves of a trial, which exists if it had curves."""
        return self.path / "curves" / f"{trial.key}.safetensors"

    def _predictions_path(self, trial: Trial) -> Path:
        return self.path / "predictions" / f"{trial.key}.safetensors"

    def _check_same_experiment(self, experiment: Experiment) -> None:
        differences = self.experiment.differing_settings(experiment)
        if differences:
            raise errors.RunFolderError(
                f"{self.path} holds another experiment: there {'; '.join(differences)}. "
                "Give the same settings to continue this experiment, or choose another folder "
                "(--out)."
            )

    def _holds_other_files(self) -> bool:
        """Whether the folder holds files other than locks, partial files and its tuning.

        A process that was killed early may leave locks and partial files.
        """
        return any(
            path.is_file()
            and path.parent.name != ".locks"
            and not PARTIAL.fullmatch(path.name)
            and not _BELONGS_TO_TUNING.match(path.relative_to(self.path).as_posix())
            for path in self.path.rglob("*")
        )


def as_file_name(text: str) -> str:
    """Return a text as a file name, with `-` in place of spaces and special characters.

    >>> as_file_name("timm:resnet18, pretrained")
    'timm-resnet18-pretrained'
    """
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")
