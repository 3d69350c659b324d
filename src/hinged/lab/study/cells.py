"""The experiments of a study: one cell for each combination of its grid and its variants.

Each network is trained only once, even if it belongs to several cells. For example, settings of
curves do not affect ReLU, so a study of hinges trains ReLU only in its first cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import (
    CurveSettings,
    TrainingSettings,
    merge_settings,
    nest_setting,
)
from hinged.lab.networks.activations import depends_on_curve_settings, may_have_trained_parameters
from hinged.lab.networks.pretrained import FROM_STUDY
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.run_folder import as_file_name
from hinged.lab.study.definition import SCALES, Study, Variant, parse_study

_CURVE_TRAINING = ("curve_lr_factor", "curve_penalty", "calibrate_after")
"""Settings of the training that affect only trained activations."""

GridPoint = tuple[tuple[str, Any], ...]
"""Each axis of the grid with one of its values."""


class Cell(NamedTuple):
    """One experiment of a study.

    Attributes:
        name: the name of its folder.
        point: its point in the grid, without axes that have a single value. The value of an axis of
            tables is a text.
        experiment: the experiment, with only those activations that no earlier cell trains.
        variant: the variant of the study.
    """

    name: str
    point: GridPoint
    experiment: Experiment
    variant: Variant

    def label(self, activation: str) -> str:
        """Return the point in the grid and the variant in words, without settings that do not
        affect the activation."""
        parts = [
            f"{_axis_name(axis)} {_as_text(value)}" if axis != "data" else _as_text(value)
            for axis, value in self.point
            if setting_affects(axis, activation)
        ]
        settings = dotted_names(self.variant.settings)
        if activation == "hinged" or any(setting_affects(name, activation) for name in settings):
            parts.append(self.variant.name)
        return ", ".join(part for part in parts if part)


def read_study(path: Path) -> Study:
    """Return the study of a file, with all its experiments checked at all scales.

    Raises:
        ArgumentError: something is wrong; the message names all faults.
    """
    study = parse_study(path)
    faults = dict.fromkeys(
        f"[{scale}] {fault}"
        for scale, fallback in itertools.product(SCALES, (False, True))
        for fault in _find_faults(study, scale, fallback)
    )
    if faults:
        call = f"hinged study {path.name}"
        raise errors.ArgumentError(errors.message(call, " | ".join(faults), "correct the file"))
    return study


def study_cells(
    study: Study, scale: str, fallback: bool = False, seeds: int | None = None
) -> list[Cell]:
    """Return the cells of a study, in order.

    Args:
        study: the study.
        scale: the name of a scale.
        fallback: use the fallback data of the scale.
        seeds: number of seeds; by default that of the scale.

    Raises:
        ArgumentError, UnknownNameError: an experiment has a wrong setting.
    """
    cells: list[Cell] = []
    trained: set[Experiment] = set()
    for name, point, variant, settings in _combinations(study, scale, fallback, seeds):
        whole = build_experiment(**settings)
        new = tuple(a for a in whole.activations if relevant_settings(whole, a) not in trained)
        trained |= {relevant_settings(whole, activation) for activation in new}
        if new:
            experiment = whole.model_copy(update={"activations": new})
            cells.append(Cell(name, point, experiment, variant))
    return cells


def pretraining_experiments(
    study: Study, scale: str, fallback: bool = False
) -> dict[str, Experiment]:
    """Return the trainings that produce the weights of networks with `pretrained = "study"`.

    Args:
        study: the study.
        scale: the name of a scale.
        fallback: use the fallback data of the scale.

    Returns:
        One experiment for each kind of network, with a single network and a single seed.

    Raises:
        ArgumentError, UnknownNameError: a training has a wrong setting, or two networks of one kind
            have different sizes.
    """
    size = study.scale(scale)
    fallback_data = {"data": size.fallback} if fallback and size.fallback is not None else {}
    experiments: dict[str, Experiment] = {}
    for cell in study_cells(study, scale, fallback):
        network = cell.experiment.network
        if network.pretrained != FROM_STUDY:
            continue
        shape = network.model_dump(include={"kind", "width", "depth", "batch_norm"})
        base = merge_settings(study.settings, size.settings, {"network": shape})
        base["network"]["pretrained"] = None
        settings = merge_settings(base, study.pretrain, size.pretrain, fallback_data)
        settings.update(activations=("original",), baseline="original", seeds=(0,))
        experiment = build_experiment(**settings)
        if experiments.setdefault(network.kind, experiment) != experiment:
            got = f"networks of kind {network.kind} that are pretrained differently"
            raise errors.ArgumentError(errors.message("[pretrain]", got, "give them one size"))
    return experiments


def relevant_settings(experiment: Experiment, activation: str) -> Experiment:
    """Return the experiment with defaults for all settings that do not affect an activation.

    Two cells train the same networks with this activation if the returned experiments are equal.
    """
    update: dict[str, Any] = {"activations": (activation,), "baseline": activation, "seeds": ()}
    if not setting_affects("curves", activation):
        update["curves"] = CurveSettings()
    defaults = {
        name: TrainingSettings.model_fields[name].default
        for name in _CURVE_TRAINING
        if not setting_affects(f"training.{name}", activation)
    }
    if not setting_affects("curves", activation) and activation != "prelu":
        defaults["trains"] = experiment.training.trains.replace("+curves", "")
    update["training"] = experiment.training.model_copy(update=defaults)
    return experiment.model_copy(update=update)


def setting_affects(setting: str, activation: str) -> bool:
    """Whether a setting changes networks with this activation.

    >>> setting_affects("curves.hinges", "relu"), setting_affects("curves.hinges", "hinged")
    (False, True)
    >>> setting_affects("network.width", "relu")
    True
    >>> setting_affects("training.curve_lr_factor", "prelu")
    True
    """
    section, _, name = setting.partition(".")
    if section == "curves":
        return depends_on_curve_settings(activation)
    if section == "training" and name in _CURVE_TRAINING:
        trained = name == "curve_lr_factor" and may_have_trained_parameters(activation)
        may_hold_curves = activation == "hinged" or ":" in activation
        return trained or may_hold_curves
    return True


def dotted_names(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of nested settings.

    >>> list(dotted_names({"data": "digits", "network": {"depth": 2}}))
    ['data', 'network.depth']
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted_names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _find_faults(study: Study, scale: str, fallback: bool) -> list[str]:
    faults: dict[str, None] = {}
    unknown = study.scale(scale).grid.keys() - study.grid.keys()
    if unknown:
        faults[f"grid: {', '.join(sorted(unknown))} is no axis of the study"] = None
    for _, _, _, settings in _combinations(study, scale, fallback, None):
        try:
            build_experiment(**settings)
        except errors.HingedError as error:
            faults[str(error)] = None
    if not faults:
        try:
            pretraining_experiments(study, scale, fallback)
        except errors.HingedError as error:
            faults[f"pretrain: {error}"] = None
    return list(faults)


def _combinations(
    study: Study, scale: str, fallback: bool, seeds: int | None
) -> Iterator[tuple[str, GridPoint, Variant, dict[str, Any]]]:
    """Yield name, point, variant and settings of every cell."""
    size = study.scale(scale)
    grid = {axis: size.grid.get(axis, values) for axis, values in study.grid.items()}
    fallback_data: dict[str, Any] = {}
    if fallback and size.fallback is not None:
        fallback_data = {"data": size.fallback}
        grid.pop("data", None)
    varied = [axis for axis, values in grid.items() if len(values) > 1]
    for variant in study.variants:
        for values in itertools.product(*grid.values()):
            settings = merge_settings(
                study.settings, size.settings, variant.settings, fallback_data
            )
            for axis, value in zip(grid, values, strict=True):
                settings = merge_settings(settings, nest_setting(axis, value))
            settings["seeds"] = tuple(range(seeds or size.seeds))
            point = tuple(
                (axis, _join_values(value))
                for axis, value in zip(grid, values, strict=True)
                if axis in varied
            )
            yield _cell_name(variant, point), point, variant, settings


def _cell_name(variant: Variant, point: GridPoint) -> str:
    parts = [variant.name, *(f"{_axis_name(axis)}-{_as_text(value)}" for axis, value in point)]
    return "_".join(as_file_name(part) for part in parts if part) or "all"


def _axis_name(axis: str) -> str:
    return axis.rpartition(".")[2].replace("_", "-")


def _join_values(value: Any) -> Any:
    """Return the values of a table as one text, and any other value unchanged."""
    return " ".join(map(_as_text, value.values())) if isinstance(value, Mapping) else value


def _as_text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
