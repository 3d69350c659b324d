"""The definition of an experiment, its trials, and assignments such as `training.lr=0.1`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic

from hinged import errors
from hinged.lab._read_file import explain_read_errors
from hinged.lab.experiment.settings import (
    CurveSettings,
    NetworkSettings,
    Settings,
    TableSettings,
    TrainingSettings,
    flatten_settings,
    merge_settings,
    nest_setting,
)

MAY_GROW = ("activations", "seeds", "baseline")
"""Settings that may differ between two runs of the same experiment."""


class Trial(Settings):
    """One training of a network, defined by an activation and a seed."""

    activation: str
    seed: int

    @property
    def key(self) -> str:
        """Return the name of the result files of this training, without the suffix.

        Characters that are invalid in file names are replaced by `-`. If this changes the name of
        the activation, a hash of the original name is added. Different activations therefore have
        different files.

        >>> Trial(activation="relu", seed=1).key, Trial(activation="nn/my.py:make", seed=1).key
        ('relu-seed1', 'nn-my.py-make-2f9124-seed1')
        """
        name = re.sub(r"[^\w.-]+", "-", self.activation)
        if name != self.activation:  # Another activation may have the same name: add a hash.
            name += f"-{hashlib.sha256(self.activation.encode()).hexdigest()[:6]}"
        return f"{name}-seed{self.seed}"


class Experiment(Settings):
    """Settings of an experiment: one network is trained with each activation and each seed."""

    data: str = "digits"
    """Data set: a name in `hinged.lab.data.DATA_SETS`, a folder of images, a table and its target
    column (`table.csv:column`), or a Python file and its function (`my.py:make_loaders`)."""
    train_size: int | None = pydantic.Field(default=None, ge=1)
    """Number of training samples to use. Every seed uses the same samples. By default, all training
    samples are used."""
    test_size: int | None = pydantic.Field(default=None, ge=1)
    """Number of test samples to use. By default, all test samples are used."""
    folds: int | None = pydantic.Field(default=None, ge=2)
    """Number of folds of a cross-validation over all samples. Seed `s` tests on fold `s % folds`.
    By default, there is no cross-validation: the test split of the data set is used."""
    table: TableSettings = TableSettings()
    """Settings of a table of the user."""
    network: NetworkSettings = NetworkSettings()
    """Settings of the network."""
    curves: CurveSettings = CurveSettings()
    """Settings of the curves of the activation `hinged`."""
    training: TrainingSettings = TrainingSettings()
    """Settings of the training of each network."""
    overrides: dict[str, dict[str, Any]] = pydantic.Field(default_factory=dict)
    """Settings of single activations that replace those of the experiment: a table of settings of
    `training` and `curves` for each activation, as in `{"hinged": {"training": {"lr": 0.01}}}`."""
    activations: tuple[str, ...] = ("relu", "leaky_relu", "prelu", "silu", "hinged")
    """Names of the activations to compare. `hinged.lab.networks.activations` lists valid names."""
    seeds: tuple[int, ...] = tuple(range(10))
    """Random seeds. Each activation is trained once with each seed. A seed determines the initial
    weights and the order of the data, which are the same for every activation."""
    baseline: str = "relu"
    """Name of the activation that all other activations are compared with."""

    def __hash__(self) -> int:
        """Return a hash of all settings. The dict `overrides` has no hash of its own."""
        return hash(self.model_dump_json())

    @property
    def trials(self) -> list[Trial]:
        """Return one training (`Trial`) for each pair of a seed and an activation.

        The list contains all activations of one seed before the next seed. If the machine is slow
        for some time, the slow time therefore affects all activations.
        """
        return [Trial(activation=a, seed=s) for s in self.seeds for a in self.activations]

    def fold_of(self, trial: Trial) -> int | None:
        """Return the index of the test fold of a training, or None if `folds` is None."""
        return None if self.folds is None else trial.seed % self.folds

    def for_activation(self, activation: str) -> Experiment:
        """Return the experiment with the settings with which one activation is trained.

        The settings that `overrides` contains for the activation replace those of the experiment.
        The returned experiment has no `overrides`.

        Args:
            activation: name of the activation.

        >>> experiment = Experiment(overrides={"hinged": {"training": {"lr": 0.5}}})
        >>> [experiment.for_activation(name).training.lr for name in ("relu", "hinged")]
        [0.006, 0.5]
        """
        if not self.overrides:
            return self
        shared = self.model_dump(exclude={"overrides"})
        return Experiment.model_validate(merge_settings(shared, self.overrides.get(activation, {})))

    def differing_settings(self, other: Experiment) -> list[str]:
        """Return one phrase for each setting that differs in another experiment.

        In the phrase `"folds is 3, not 4"`, this experiment has 3 folds and the other has 4.

        The settings `activations`, `seeds` and `baseline` are ignored, because activations and
        seeds can be added to an experiment later. For the same reason, `overrides` are compared
        only for activations that both experiments contain.

        Args:
            other: the experiment that is compared with this experiment.
        """
        shared = _differences(self, other)
        phrases = [f"{name} {text}" for name, text in shared.items()]
        for activation in dict.fromkeys((*self.overrides, *other.overrides)):
            if activation in self.activations and activation in other.activations:
                own, its = (each.for_activation(activation) for each in (self, other))
                phrases += [
                    f"{name} of {activation} {text}"
                    for name, text in _differences(own, its).items()
                    if name not in shared
                ]
        return phrases

    def with_trials_of(self, other: Experiment) -> Experiment:
        """Return a copy of this experiment that also contains the activations and seeds of `other`.

        The activations of `other` are listed first. The seeds are in ascending order. All other
        settings are those of this experiment, with the `overrides` of added activations.
        """
        activations = tuple(dict.fromkeys((*other.activations, *self.activations)))
        seeds = tuple(sorted({*other.seeds, *self.seeds}))
        return self.model_copy(
            update={
                "activations": activations,
                "seeds": seeds,
                "overrides": other.overrides | self.overrides,
            }
        )


def apply_assignments(settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return settings in which assignments such as `training.lr=0.1` replace values.

    Args:
        settings: nested settings of an `Experiment`, for example `{"training": {"lr": 0.1}}`.
        assignments: texts of the form `NAME=VALUE`, for example `training.lr=0.1` or `folds=5`.
            `VALUE` is parsed as JSON. If `VALUE` is not valid JSON, it is used as a text. The
            settings `activations`, `seeds` and `baseline` cannot be assigned.

    Returns:
        New nested settings. The argument `settings` is not changed.

    Raises:
        UnknownNameError: if an assignment names a setting that does not exist.
        ArgumentError: if an assignment does not contain `=`.

    >>> apply_assignments({"training": {"lr": 0.1}}, ["training.epochs=2", "curves.init=gelu"])
    {'training': {'lr': 0.1, 'epochs': 2}, 'curves': {'init': 'gelu'}}
    """
    known = [name for name in flatten_settings(Experiment().model_dump()) if name not in MAY_GROW]
    assigned = dict(settings)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            hint = "expected NAME=VALUE, for example training.calibrate_after=0.1"
            raise errors.ArgumentError(errors.message("assignments", assignment, hint))
        if name not in known:
            raise errors.unknown_name("assignments", name, known)
        assigned = merge_settings(assigned, nest_setting(name, parse_value(value)))
    return assigned


def parse_value(text: str) -> Any:
    """Return the JSON value of a text, or the text itself if it is not valid JSON.

    >>> parse_value("0.1"), parse_value("silu")
    (0.1, 'silu')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _differences(one: Experiment, other: Experiment) -> dict[str, str]:
    """Return a text such as `is 3, not 4` for each setting that differs, by the setting's name.

    The settings in `MAY_GROW` and `overrides` are left out.
    """
    left_out = {*MAY_GROW, "overrides"}
    ones, others = (flatten_settings(each.model_dump(exclude=left_out)) for each in (one, other))
    return {
        name: f"is {value!r}, not {others[name]!r}"
        for name, value in ones.items()
        if value != others[name]
    }


def read_experiment(path: Path) -> Experiment:
    """Read the settings of an experiment from a file `config.json`.

    Args:
        path: path of the file in the folder that contains the results of the experiment.

    Raises:
        RunFolderError: if the file does not contain the settings of an experiment.
    """
    with explain_read_errors(path, "a file of settings", "Choose another run folder."):
        text = path.read_text(encoding="utf-8")
    try:
        return Experiment.model_validate_json(_with_older_training(text))
    except (pydantic.ValidationError, RecursionError) as invalid:
        first = invalid.errors()[0]["msg"] if isinstance(invalid, pydantic.ValidationError) else ""
        raise errors.RunFolderError(
            f"{path} does not contain the valid settings of an experiment: {first or invalid}. "
            "Choose another run folder."
        ) from None


def _with_older_training(text: str) -> str:
    """Complete settings that an earlier version wrote, before curves were trained in their metric.

    The settings that are missing get the values that describe the training of that version.
    """
    try:
        settings = json.loads(text)
    except ValueError:
        return text  # The caller says what is wrong with it.
    training = settings.get("training") if isinstance(settings, dict) else None
    if not isinstance(training, dict) or "curve_metric" in training:
        return text
    factor = training.get("curve_lr_factor", 2.0)
    older = {"curve_metric": False, "curve_lr_factor": factor, "activation_lr_factor": factor}
    return json.dumps(settings | {"training": older | training})
