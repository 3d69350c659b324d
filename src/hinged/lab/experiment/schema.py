"""An experiment: its definition, its trials, and assignments to its settings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from hinged import errors
from hinged.lab.experiment.settings import (
    CurveSettings,
    NetworkSettings,
    Settings,
    TrainingSettings,
    merge_settings,
    nest_setting,
)


class Trial(Settings):
    """One network to train: an activation and a seed."""

    activation: str
    seed: int

    @property
    def key(self) -> str:
        """Return the name of the trial's files.

        >>> Trial(activation="relu", seed=1).key, Trial(activation="nn/my.py:make", seed=1).key
        ('relu-seed1', 'nn-my.py-make-2f9124-seed1')
        """
        name = re.sub(r"[^\w.-]+", "-", self.activation)
        if name != self.activation:  # Other activations may give the same name: add a hash.
            name += f"-{hashlib.sha256(self.activation.encode()).hexdigest()[:6]}"
        return f"{name}-seed{self.seed}"


class Experiment(Settings):
    """The same network, trained with several activations from several seeds."""

    data: str = "digits"
    """Data set: a name in `hinged.lab.data.DATA_SETS`, a folder of images, `table.csv:column`, or
    `my.py:make_loaders`."""
    train_size: int | None = pydantic.Field(default=None, ge=1)
    """Number of training samples to use, the same ones for every seed; by default all."""
    test_size: int | None = pydantic.Field(default=None, ge=1)
    """Number of test samples to use; by default all."""
    folds: int | None = pydantic.Field(default=None, ge=2)
    """Number of folds of a cross-validation over all samples: seed `s` tests on fold
    `s % folds`. By default the data set's own test split is used."""
    network: NetworkSettings = NetworkSettings()
    """The network."""
    curves: CurveSettings = CurveSettings()
    """The curves of the activation `hinged`."""
    training: TrainingSettings = TrainingSettings()
    """The training of each network."""
    activations: tuple[str, ...] = ("relu", "leaky_relu", "prelu", "silu", "hinged")
    """Activations to compare: names that `hinged.lab.networks.activations` describes."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Seeds. Each one gives the initial weights and the order of the data, the same for every
    activation."""
    baseline: str = "relu"
    """Activation that the others are compared with."""

    @property
    def trials(self) -> list[Trial]:
        """Return every activation with every seed. Activations alternate, so that slow phases of
        the machine affect all of them."""
        return [Trial(activation=a, seed=s) for s in self.seeds for a in self.activations]

    def fold_of(self, trial: Trial) -> int | None:
        """Return the fold that a trial tests on, None without folds."""
        return None if self.folds is None else trial.seed % self.folds

    def differing_settings(self, other: Experiment) -> list[str]:
        """Return a phrase for each setting that differs in the other experiment. Activations, seeds
        and baseline do not count: one run folder may take more of them later."""
        mine, theirs = _flatten(self.model_dump()), _flatten(other.model_dump())
        may_grow = {"activations", "seeds", "baseline"}
        return [
            f"{name} is {mine[name]!r}, not {theirs[name]!r}"
            for name in mine
            if name not in may_grow and mine[name] != theirs[name]
        ]

    def with_trials_of(self, other: Experiment) -> Experiment:
        """Return this experiment with the activations and seeds of both, those of `other` first."""
        activations = tuple(dict.fromkeys((*other.activations, *self.activations)))
        seeds = tuple(sorted({*other.seeds, *self.seeds}))
        return self.model_copy(update={"activations": activations, "seeds": seeds})


def apply_assignments(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return nested settings, overridden by assignments.

    Args:
        settings: nested settings of an `Experiment`.
        assignments: each `SECTION.NAME=VALUE`. The value is JSON; what is not JSON is text.

    Raises:
        UnknownNameError: there is no such setting.
        ArgumentError: a text without `=`.

    >>> apply_assignments({"training": {"lr": 0.1}}, ["training.epochs=2", "curves.init=gelu"])
    {'training': {'lr': 0.1, 'epochs': 2}, 'curves': {'init': 'gelu'}}
    """
    known = [name for name in _flatten(Experiment().model_dump()) if "." in name]
    assigned = dict(settings)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            hint = "expected NAME=VALUE, as in training.calibrate_after=0.1"
            raise errors.ArgumentError(errors.message("assignments", assignment, hint))
        if name not in known:
            raise errors.unknown_name("assignments", name, known)
        assigned = merge_settings(assigned, nest_setting(name, _parse_value(value)))
    return assigned


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read_experiment(path: Path) -> Experiment:
    """Return the experiment in a `config.json`.

    Raises:
        RunFolderError: the file holds something else.
    """
    try:
        return Experiment.model_validate_json(path.read_text(encoding="utf-8"))
    except pydantic.ValidationError as invalid:
        raise errors.RunFolderError(
            f"{path} is not the configuration of an experiment: {invalid.error_count()} faults, "
            f"first {invalid.errors()[0]['msg']!r}. Choose another folder."
        ) from None


def _flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
