"""What defines an experiment, checked whole before anything runs."""

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
    merged,
    nested,
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
        if name != self.activation:  # Then several could have the same.
            name += f"-{hashlib.sha256(self.activation.encode()).hexdigest()[:6]}"
        return f"{name}-seed{self.seed}"


class Experiment(Settings):
    """The same network, trained with several activations from several seeds.

    Attributes:
        data: a name in `hinged.lab.data.DATA_SETS`, or data of the user's own
            (`hinged.lab.data.is_known`).
        train_size, test_size: only so many samples of a split; None for all.
        folds: cross-validation: all samples are divided into so many folds, and seed `s` tests on
            fold `s` modulo their number; None for the data's own splits.
        activations: names as `hinged.lab.networks.activations` describes them.
        seeds: each gives the initial weights and the order of the data, the same for every
            activation.
        baseline: the activation that the others are compared with.
    """

    data: str = "digits"
    train_size: int | None = None
    test_size: int | None = None
    folds: int | None = pydantic.Field(default=None, ge=2)
    network: NetworkSettings = NetworkSettings()
    curves: CurveSettings = CurveSettings()
    training: TrainingSettings = TrainingSettings()
    activations: tuple[str, ...] = ("relu", "leaky_relu", "prelu", "silu", "hinged")
    seeds: tuple[int, ...] = tuple(range(10))
    baseline: str = "relu"

    @property
    def trials(self) -> list[Trial]:
        """Return every activation with every seed; activations alternate, so that slow spells of
        the machine meet all of them."""
        return [Trial(activation=a, seed=s) for s in self.seeds for a in self.activations]

    def fold(self, trial: Trial) -> int | None:
        """Return which fold a trial tests on, None without folds."""
        return None if self.folds is None else trial.seed % self.folds

    def differences(self, other: Experiment) -> list[str]:
        """Return what the other experiment has otherwise, but for activations and seeds, of which
        one folder may hold more and more."""
        mine, theirs = _flat(self.model_dump()), _flat(other.model_dump())
        growing = {"activations", "seeds", "baseline"}
        return [
            f"{name} is {mine[name]!r}, not {theirs[name]!r}"
            for name in mine
            if name not in growing and mine[name] != theirs[name]
        ]

    def united(self, other: Experiment) -> Experiment:
        """Return this experiment with the activations and seeds of both."""
        activations = tuple(dict.fromkeys((*other.activations, *self.activations)))
        seeds = tuple(sorted({*other.seeds, *self.seeds}))
        return self.model_copy(update={"activations": activations, "seeds": seeds})


def assigned(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return nested settings with assignments laid over them.

    Args:
        settings: as `build_experiment` takes them.
        assignments: `SECTION.NAME=VALUE` each, the value as JSON, or else a word.

    Raises:
        UnknownNameError: there is no such setting.
        ArgumentError: it is no assignment.

    >>> assigned({"training": {"lr": 0.1}}, ["training.calibrate_after=0.2", "curves.init=gelu"])
    {'training': {'lr': 0.1, 'calibrate_after': 0.2}, 'curves': {'init': 'gelu'}}
    """
    known = [name for name in _flat(Experiment().model_dump()) if "." in name]
    found = dict(settings)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            hint = "expected NAME=VALUE, as in training.calibrate_after=0.1"
            raise errors.ArgumentError(errors.message("--set", assignment, hint))
        if name not in known:
            raise errors.unknown_name("--set", name, known)
        found = merged(found, nested(name, _value(value)))
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read_experiment(path: Path) -> Experiment:
    """Return the experiment of a `config.json`."""
    try:
        return Experiment.model_validate_json(path.read_text(encoding="utf-8"))
    except pydantic.ValidationError as invalid:
        raise errors.RunFolderError(
            f"{path} is not the configuration of an experiment: {invalid.error_count()} faults, "
            f"first {invalid.errors()[0]['msg']!r}. Choose another folder with --out."
        ) from None


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
