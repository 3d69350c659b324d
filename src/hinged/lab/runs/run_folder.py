"""The folder of one comparison. It survives a kill at any moment, and processes can share it.

    config.json             the experiment
    trials/KEY.json         the result of one finished trial
    failed/KEY.json         the error of a trial that raised one
    curves/KEY.safetensors  learned curves and histograms of their inputs
    weights/KEY.safetensors trained networks, if they are saved
    results.jsonl           all results, one line each
    report.html, plots/     written by `hinged.lab.reporting.report`

Each file is written under a temporary name and then renamed, so it is never incomplete. A process
that trains a trial holds a lock on it. The operating system releases the lock when the process
ends, even by a kill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pydantic
import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from hinged import errors
from hinged.atomic_files import PARTIAL, remove_partials
from hinged.lab._write_file import explain_write_errors, write_file
from hinged.lab.experiment.schema import Experiment, Trial, read_experiment
from hinged.lab.runs.trial_result import TrialFailure, TrialResult


class RunFolder:
    """The files of one experiment.

    Args:
        path: the folder; `open` creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def experiment(self) -> Experiment:
        """Return the experiment of this folder.

        Raises:
            RunFolderError: the folder holds no experiment.
        """
        if not self._config.exists():
            raise errors.RunFolderError(
                f"{self.path} holds no experiment: there is no {self._config.name}; "
                "give a folder that `hinged compare` wrote."
            )
        return read_experiment(self._config)

    def open(self, experiment: Experiment) -> None:
        """Create the folder for this experiment, or add its trials to the experiment it holds.

        Raises:
            RunFolderError: the folder holds another experiment or other files, or cannot be
                written.
        """
        if self.path.exists() and not self.path.is_dir():
            raise errors.RunFolderError(f"{self.path} is a file; choose a folder.")
        # In this order: another process may write the experiment between the two checks.
        if self._holds_other_files() and not self._config.exists():
            raise errors.RunFolderError(
                f"{self.path} holds files but no experiment; choose an empty folder."
            )
        with explain_write_errors(self.path):
            for name in ("trials", "curves", "plots", ".locks"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        with self._lock("folder"):
            if self._config.exists():
                self._check_same_experiment(experiment)
                experiment = experiment.with_trials_of(self.experiment)
            remove_partials(self.path)
            write_file(self._config, experiment.model_dump_json(indent=2) + "\n")

    def is_finished(self, trial: Trial) -> bool:
        """Whether the result of the trial is saved."""
        return self._result_path(trial).exists()

    @contextmanager
    def claim(self, trial: Trial, *, wait: bool) -> Iterator[bool]:
        """Lock the trial. Yields whether the caller must train it.

        Yields False if the trial is finished, or if another process holds it and `wait` is False.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock(trial.key, wait=wait))
            except Timeout:
                yield False
            else:
                yield not self.is_finished(trial)

    def save_result(self, trial: Trial, result: TrialResult, curves: dict[str, Tensor]) -> None:
        """Write a finished trial and update `results.jsonl`. The result is written last, so that
        the trial is finished only when its curves are saved."""
        if curves:
            write_file(self._curves_path(trial), safetensors.torch.save(curves))
        write_file(self._result_path(trial), result.model_dump_json(indent=2) + "\n")
        self._failure_path(trial).unlink(missing_ok=True)
        self.write_results_file()

    def save_weights(self, trial: Trial, weights: bytes) -> None:
        """Write a trained network. Call it before `save_result`, which finishes the trial."""
        write_file(self.weights_path(trial), weights)

    def save_failure(self, trial: Trial, failure: TrialFailure) -> None:
        """Write the error of a trial. The trial stays unfinished and is tried again later."""
        write_file(self._failure_path(trial), failure.model_dump_json(indent=2) + "\n")

    def weights_path(self, trial: Trial) -> Path:
        """Return the path of the trained network."""
        return self.path / "weights" / f"{trial.key}.safetensors"

    def write_results_file(self) -> None:
        """Write `results.jsonl` from the finished trials."""
        with self._lock("results"):
            lines = [result.model_dump_json() + "\n" for result in self.results()]
            write_file(self.path / "results.jsonl", "".join(lines))

    def results(self) -> list[TrialResult]:
        """Return the results of the finished trials, in the order of the experiment."""
        paths = [self._result_path(trial) for trial in self.experiment.trials]
        return [_read_result(path) for path in paths if path.exists()]

    def read_results_file(self) -> list[TrialResult]:
        """Return the results of `results.jsonl`, the only results in a committed record."""
        lines = (self.path / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return [TrialResult.model_validate_json(line) for line in lines]

    def failures(self) -> list[TrialFailure]:
        """Return the errors of trials that are still unfinished."""
        paths = [self._failure_path(trial) for trial in self.experiment.trials]
        return [
            TrialFailure.model_validate_json(path.read_text(encoding="utf-8"))
            for path in paths
            if path.exists()
        ]

    def load_curves(self, trial: Trial) -> dict[str, Tensor]:
        """Return the curves given to `save_result`; empty if there are none."""
        path = self._curves_path(trial)
        return safetensors.torch.load_file(path) if path.exists() else {}

    @contextmanager
    def _lock(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold one of the folder's locks. Raises `Timeout` if another process holds it and `wait`
        is False."""
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

    def _curves_path(self, trial: Trial) -> Path:
        return self.path / "curves" / f"{trial.key}.safetensors"

    def _check_same_experiment(self, experiment: Experiment) -> None:
        differences = self.experiment.differing_settings(experiment)
        if differences:
            raise errors.RunFolderError(
                f"{self.path} holds another experiment: there {'; '.join(differences)}; "
                "choose another folder, or use the same settings to continue."
            )

    def _holds_other_files(self) -> bool:
        """Whether the folder holds files besides locks and partial files, which a process that was
        killed early leaves."""
        return any(
            path.is_file() and path.parent.name != ".locks" and not PARTIAL.fullmatch(path.name)
            for path in self.path.rglob("*")
        )


def as_file_name(text: str) -> str:
    """Return a text with all characters replaced that a file name should not have.

    >>> as_file_name("timm:resnet18, pretrained")
    'timm-resnet18-pretrained'
    """
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _read_result(path: Path) -> TrialResult:
    try:
        return TrialResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (pydantic.ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise errors.RunFolderError(
            f"{path} is not the record of a trial ({type(error).__name__}); "
            "delete it to train that trial again."
        ) from None
