"""Reads the records of trials, and checks that they belong to their trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hinged import errors
from hinged.lab._read_file import explain_read_errors
from hinged.lab.experiment.schema import MAY_GROW, Experiment, Trial
from hinged.lab.experiment.settings import flatten_settings, merge_settings
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

_AGAIN = "delete this file, and run the same command again to train the trial again."
_DELETE = _AGAIN.capitalize()


def read_failure(path: Path) -> TrialFailure:
    """Return the saved error of a trial.

    Raises:
        RunFolderError: if the file is damaged.
    """
    with explain_read_errors(path, "the error of a trial", _DELETE):
        return TrialFailure.model_validate_json(path.read_text(encoding="utf-8"))


def settings_by_activation(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return the settings of the trials of each activation, as their records contain them."""
    settings = experiment.model_dump(mode="json")
    return {name: _settings_of(settings, name) for name in experiment.activations}


def read_result(path: Path, trial: Trial, settings: Mapping[str, Any]) -> TrialResult:
    """Return the saved result of a trial.

    Args:
        path: the file of the result.
        trial: the activation and the seed whose result the file should be.
        settings: the settings with which the trial should have been trained, from
            `settings_by_activation`.

    Raises:
        RunFolderError: if the file is damaged, or belongs to another trial or to other settings.
    """
    with explain_read_errors(path, "the result of a trial", _DELETE):
        result = TrialResult.model_validate_json(path.read_text(encoding="utf-8"))
        recorded = _settings_of(result.experiment, trial.activation)
    found = Trial(activation=result.activation, seed=result.seed)
    fault, remedy = "", _DELETE
    if found != trial:
        fault = f"the result of {found.activation} with seed {found.seed}"
    elif not result.loss:
        fault = "a result without losses"
    elif differences := _differences(recorded, settings):
        fault = f"the result of other settings than those in config.json: {'; '.join(differences)}"
        remedy = f"If config.json is right, {_AGAIN}"
    if fault:
        raise errors.RunFolderError(
            f"{path} is {fault}, and not the result of {trial.activation} with seed {trial.seed} "
            f"in this folder. {remedy}"
        )
    return result


def _settings_of(experiment: Mapping[str, Any], activation: str) -> dict[str, Any]:
    """Return the settings of an activation by their full names, for example `training.lr`."""
    left_out = (*MAY_GROW, "overrides")
    shared = {name: value for name, value in experiment.items() if name not in left_out}
    own = experiment.get("overrides", {}).get(activation, {})
    return flatten_settings(merge_settings(shared, own))


def _differences(recorded: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """Return one phrase for each recorded setting with another value.

    Settings that an earlier version did not have are left out.
    """
    return [
        f"{name} is {value!r}, not {settings[name]!r}"
        for name, value in recorded.items()
        if name in settings and value != settings[name]
    ]
