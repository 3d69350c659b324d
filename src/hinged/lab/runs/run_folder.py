"""The run folder: whole files or none, one record a trial, no trial done twice.

    config.json            the experiment
    trials/KEY.json        one finished trial each
    failed/KEY.json        the error of a trial that was tried in vain
    curves/KEY.safetensors learned curves and histograms of their inputs
    weights/KEY.safetensors the trained networks, where they are kept
    results.jsonl          all trials, one a line
    report.html, plots/    drawn from the above

A file appears under its name complete, by renaming, or not at all. A process that works on a trial
holds a lock on it, which the system takes back when the process dies, however it dies.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pydantic
import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from hinged import errors
from hinged.atomic_files import PARTIAL, remove_partials
from hinged.lab._files import write, writing
from hinged.lab.experiment.schema import Experiment, Trial, read_experiment


class TrialResult(pydantic.BaseModel):
    """What one trial gave, and everything needed to give it again.

    Attributes:
        activation, seed: the trial.
        metric: what the scores measure; larger is better.
        test_score, train_score: of the trained network.
        loss, test_scores: mean training loss and test score of each epoch.
        parameters, activation_parameters: numbers trained, in all and in the activations.
        step_ms: median milliseconds a training step.
        seconds: wall time of the training.
        dead, dormant: shares of idle units after each epoch (`hinged.lab.training.dead_units`).
        advice: what `hinged.diagnose` says of the trained curves, sentences by sign.
        kept_bytes: bytes kept for the backward pass of one batch.
        initial_weights: SHA-256 of the weights before training, activations left out.
        pretrained: the weights that training started from, with the beginning of their SHA-256;
            empty for new ones.
        data_digest: SHA-256 of the data.
        data_about: what the data are, in a sentence.
        fold: which fold was tested on, None where there are none.
        experiment: all settings.
        environment: versions, commit and machine.
        finished: time of the end, UTC, ISO 8601.

    A training that diverged is a result too, with a score of NaN where the network's outputs are no
    numbers: it is not tried again, is left out of means and pairs, and is named beside them.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="strings")

    activation: str
    seed: int
    metric: str
    test_score: float
    train_score: float
    loss: list[float]
    test_scores: list[float]
    parameters: int
    activation_parameters: int
    step_ms: float
    seconds: float
    dead: list[float] = []
    dormant: list[float] = []
    advice: dict[str, list[str]] = {}
    kept_bytes: int
    initial_weights: str
    pretrained: str = ""
    data_digest: str
    data_about: str = ""
    fold: int | None = None
    experiment: dict[str, Any]
    environment: dict[str, str]
    finished: str

    @property
    def diverged(self) -> bool:
        """Whether the loss or the score became infinite or no number (NaN)."""
        return not all(map(math.isfinite, (*self.loss, self.test_score)))


class TrialFailure(pydantic.BaseModel):
    """A trial that raised an error.

    Attributes:
        activation, seed: the trial.
        traceback: the error, as Python prints it.
        environment: versions, commit and machine.
        finished: time of the end, UTC, ISO 8601.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    activation: str
    seed: int
    traceback: str
    environment: dict[str, str]
    finished: str


class RunFolder:
    """The files of one experiment.

    Args:
        path: the folder; made when an experiment is opened in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def experiment(self) -> Experiment:
        """Return the experiment of this folder.

        Raises:
            RunFolderError: there is none.
        """
        if not self._config.exists():
            raise errors.RunFolderError(
                f"{self.path} holds no experiment: there is no {self._config.name}. "
                "Give the folder that `hinged compare --out` wrote."
            )
        return read_experiment(self._config)

    def open(self, experiment: Experiment) -> None:
        """Make the folder this experiment's, or go on with the one it holds.

        Raises:
            RunFolderError: the folder holds another experiment, or files that are none, or cannot
                be written.
        """
        if self.path.exists() and not self.path.is_dir():
            raise errors.RunFolderError(f"{self.path} is a file. Choose a folder with --out.")
        # In this order: another process may begin the experiment while this one looks around.
        if self._holds_files() and not self._config.exists():
            raise errors.RunFolderError(
                f"{self.path} holds files but no experiment. Choose an empty folder with --out."
            )
        with writing(self.path):
            for name in ("trials", "curves", "plots", ".locks"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        with self._locked("folder"):
            if self._config.exists():
                experiment = experiment.with_trials_of(self._same(experiment))
            remove_partials(self.path)
            write(self._config, experiment.model_dump_json(indent=2) + "\n")

    def has(self, trial: Trial) -> bool:
        """Whether the trial is finished."""
        return self._trial(trial).exists()

    @contextmanager
    def claim(self, trial: Trial, *, wait: bool) -> Iterator[bool]:
        """Hold the trial; gives whether it is now ours to do.

        It is not where it is finished, or where another process holds it and `wait` is False.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._locked(trial.key, wait=wait))
            except Timeout:
                yield False
            else:
                yield not self.has(trial)

    def save(self, trial: Trial, result: TrialResult, curves: dict[str, Tensor]) -> None:
        """Write a finished trial, its record last, and list it in `results.jsonl`."""
        if curves:
            write(self._curves(trial), safetensors.torch.save(curves))
        write(self._trial(trial), result.model_dump_json(indent=2) + "\n")
        self._failure(trial).unlink(missing_ok=True)
        self.list_results()

    def weights(self, trial: Trial) -> Path:
        """Return the file of the trained network."""
        return self.path / "weights" / f"{trial.key}.safetensors"

    def save_weights(self, trial: Trial, weights: bytes) -> None:
        """Write a trained network, before the trial is finished by `save`."""
        write(self.weights(trial), weights)

    def save_failure(self, trial: Trial, failure: TrialFailure) -> None:
        """Write the error of a trial. It is not finished: it is tried again another time."""
        write(self._failure(trial), failure.model_dump_json(indent=2) + "\n")

    def failures(self) -> list[TrialFailure]:
        """Return the errors of trials that have not been finished since."""
        paths = [self._failure(trial) for trial in self.experiment.trials]
        return [
            TrialFailure.model_validate_json(path.read_text(encoding="utf-8"))
            for path in paths
            if path.exists()
        ]

    def list_results(self) -> None:
        """Write `results.jsonl` anew from the finished trials."""
        with self._locked("results"):
            lines = [result.model_dump_json() + "\n" for result in self.results()]
            write(self.path / "results.jsonl", "".join(lines))

    def results(self) -> list[TrialResult]:
        """Return the finished trials in the order of the experiment."""
        paths = [self._trial(trial) for trial in self.experiment.trials]
        return [_read_result(path) for path in paths if path.exists()]

    def listed(self) -> list[TrialResult]:
        """Return the trials of `results.jsonl` alone, as in a record without the other files."""
        lines = (self.path / "results.jsonl").read_text(encoding="utf-8").splitlines()
        return [TrialResult.model_validate_json(line) for line in lines]

    def curves(self, trial: Trial) -> dict[str, Tensor]:
        """Return what `save` was given; empty where there are no curves."""
        path = self._curves(trial)
        return safetensors.torch.load_file(path) if path.exists() else {}

    @contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold one of the folder's locks; raises `Timeout` where another process has it and `wait`
        is False."""
        lock = FileLock(self.path / ".locks" / name)
        with writing(Path(lock.lock_file)):
            lock.acquire(blocking=wait)
        try:
            yield
        finally:
            lock.release()

    @property
    def _config(self) -> Path:
        return self.path / "config.json"

    def _trial(self, trial: Trial) -> Path:
        return self.path / "trials" / f"{trial.key}.json"

    def _failure(self, trial: Trial) -> Path:
        return self.path / "failed" / f"{trial.key}.json"

    def _curves(self, trial: Trial) -> Path:
        return self.path / "curves" / f"{trial.key}.safetensors"

    def _same(self, experiment: Experiment) -> Experiment:
        """Return the experiment held here, or raise where it is another one."""
        held = self.experiment
        differences = held.differing_settings(experiment)
        if differences:
            raise errors.RunFolderError(
                f"{self.path} holds another experiment: there {'; '.join(differences)}. "
                "Choose another folder with --out, or use the same settings to continue."
            )
        return held

    def _holds_files(self) -> bool:
        """Whether files of someone else lie here; a process killed early leaves empty folders,
        locks and partial files."""
        return any(
            path.is_file() and path.parent.name != ".locks" and not PARTIAL.fullmatch(path.name)
            for path in self.path.rglob("*")
        )


def word(text: str) -> str:
    """Return a text as part of the name of a folder.

    >>> word("timm:resnet18, pretrained")
    'timm-resnet18-pretrained'
    """
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _read_result(path: Path) -> TrialResult:
    try:
        return TrialResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (pydantic.ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise errors.RunFolderError(
            f"{path} is not the record of a trial ({type(error).__name__}). "
            "Delete it to have that trial done again."
        ) from None
