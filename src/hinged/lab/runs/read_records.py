"""Reads the records of trials, and checks that they belong to their trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hinged import errors
from hinged.lab._read_file import explain_read_errors
from hinged.lab.experiment.schema import Experiment, Trial
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

_DELETE = "Delete this file, and run the same command again to train the trial again."


def read_failure(path: Path) -> TrialFailure:
    """Return the saved error of a trial.

    Raises:
        RunFolderError: if the file is damaged.
    """
    with explain_read_errors(path, "the error of a trial", _DELETE):
        return TrialFailure.model_validate_json(path.read_text(encoding="utf-8"))


def read_result(path: Path, trial: Trial, experiment: Experiment) -> TrialResult:
    """Return the saved result of a trial.

    Args:
        path: the file of the result.
        trial: the activation and the seed whose result the file should be.
        experiment: the settings with which the trial should have been trained.

    Raises:
        RunFolderError: if the file is damaged, or belongs to another trial or to other settings.
    """
    with explain_read_errors(path, "the result of a trial", _DELETE):
        result = TrialResult.model_validate_json(path.read_text(encoding="utf-8"))
    found = Trial(activation=result.activation, seed=result.seed)
    fault = ""
    if found != trial:
        fault = f"the result of {found.activation} with seed {found.seed}"
    elif not result.loss:
        fault = "a result without losses"
    elif differences := _differing_settings(result.experiment, experiment, trial.activation):
        fault = f"the result of other settings: {'; '.join(differences)}"
    if fault:
        raise errors.RunFolderError(
            f"{path} is {fault}, and not the result of {trial.activation} with seed {trial.seed} "
            f"in this folder. {_DELETE}"
        )
    return result


def _differing_settings(
    recorded: dict[str, Any], experiment: Experiment, activation: str
) -> list[str]:
    """Return one phrase for each setting of a trial that differs from those of the experiment.

    Settings that an earlier version did not have are left out.
    """
    settings = experiment.model_dump(mode="json", exclude={"activations", "seeds", "baseline"})
    own, other = _flat(recorded), _flat(settings)
    for values, overrides in ((own, recorded), (other, settings)):
        changes = (overrides.get("overrides") or {}).get(activation) or {}
        values.update(_flat(changes))
    return [
        f"{name} is {own[name]!r}, not {other[name]!r}"
        for name in own.keys() & other.keys()
        if own[name] != other[name]
    ]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by their full name, for example `training.lr`, without the overrides."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "overrides":
            continue
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found
