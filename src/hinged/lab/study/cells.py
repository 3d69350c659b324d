"""The experiments of a study: one cell for every combination of its grid and variants.

A network is trained once, however many cells it belongs to: settings of curves do not concern ReLU,
so that in a study of hinges ReLU is trained in the first cell alone.
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
from hinged.lab.study.definition import SCALES, Study, Variant, parse

_OF_CURVES = ("curve_lr_factor", "curve_penalty", "calibrate_after")
"""Settings of the training that concern trained activations alone."""

Point = tuple[tuple[str, Any], ...]
"""A place in the grid: an axis and its value each."""


class Cell(NamedTuple):
    """One experiment of a study.

    Attributes:
        name: of its folder.
        point: its place in the grid; the axes that have more than one value, which is a text where
            it is a table.
        experiment: with those activations that no cell before it trains.
        variant: its settings by name.
    """

    name: str
    point: Point
    experiment: Experiment
    variant: Variant

    def label(self, activation: str) -> str:
        """Return in words where in the grid an activation stands, leaving out what does not concern
        it."""
        parts = [
            f"{_last(axis)} {_text(value)}" if axis != "data" else _text(value)
            for axis, value in self.point
            if concerns(axis, activation)
        ]
        settings = paths(self.variant.settings)
        if activation == "hinged" or any(concerns(path, activation) for path in settings):
            parts.append(self.variant.name)
        return ", ".join(part for part in parts if part)


def read(path: Path) -> Study:
    """Return the study of a file, with all experiments at all scales checked.

    Raises:
        ArgumentError: names everything in it that cannot be right.
    """
    study = parse(path)
    faults = dict.fromkeys(
        f"[{scale}] {fault}"
        for scale, fallback in itertools.product(SCALES, (False, True))
        for fault in _faults(study, scale, fallback)
    )
    if faults:
        call = f"hinged study {path.name}"
        raise errors.ArgumentError(errors.message(call, " | ".join(faults), "correct the file"))
    return study


def cells(study: Study, scale: str, fallback: bool = False, seeds: int | None = None) -> list[Cell]:
    """Return the cells of a study in order.

    Args:
        study: the study.
        scale: the name of a scale.
        fallback: use the scale's fallback instead of the data.
        seeds: how many; by default those of the scale.

    Raises:
        ArgumentError, UnknownNameError: an experiment cannot be right.
    """
    found: list[Cell] = []
    trained: set[Experiment] = set()
    for name, point, variant, values in _combinations(study, scale, fallback, seeds):
        whole = build_experiment(**values)
        new = tuple(a for a in whole.activations if plain(whole, a) not in trained)
        trained |= {plain(whole, activation) for activation in new}
        if new:
            own = whole.model_copy(update={"activations": new})
            found.append(Cell(name, point, own, variant))
    return found


def pretrainings(study: Study, scale: str, fallback: bool = False) -> dict[str, Experiment]:
    """Return the trainings, by their networks' kinds, that cells with the `pretrained` weights
    `study` start from: of one network each, from one seed.

    Args:
        study: the study.
        scale: the name of a scale.
        fallback: use the scale's fallback instead of the data.

    Raises:
        ArgumentError, UnknownNameError: a training cannot be right, or two networks of one kind are
            of different sizes.
    """
    size = study.scale(scale)
    instead = {"data": size.fallback} if fallback and size.fallback is not None else {}
    found: dict[str, Experiment] = {}
    for cell in cells(study, scale, fallback):
        network = cell.experiment.network
        if network.pretrained != FROM_STUDY:
            continue
        new = network.model_dump(include={"kind", "width", "depth", "batch_norm"})
        asked = merge_settings(study.settings, size.settings, {"network": new})
        asked["network"]["pretrained"] = None
        values = merge_settings(asked, study.pretrain, size.pretrain, instead)
        values.update(activations=("original",), baseline="original", seeds=(0,))
        made = build_experiment(**values)
        if found.setdefault(network.kind, made) != made:
            got = f"networks of kind {network.kind} that are pretrained differently"
            raise errors.ArgumentError(errors.message("[pretrain]", got, "give them one size"))
    return found


def plain(experiment: Experiment, activation: str) -> Experiment:
    """Return the experiment with all that does not concern an activation at its default: equal
    for two cells where they train the same networks."""
    update: dict[str, Any] = {"activations": (activation,), "baseline": activation, "seeds": ()}
    if not concerns("curves", activation):
        update["curves"] = CurveSettings()
    defaults = {
        name: TrainingSettings.model_fields[name].default
        for name in _OF_CURVES
        if not concerns(f"training.{name}", activation)
    }
    if not concerns("curves", activation) and activation != "prelu":
        defaults["trains"] = experiment.training.trains.replace("+curves", "")
    update["training"] = experiment.training.model_copy(update=defaults)
    return experiment.model_copy(update=update)


def concerns(path: str, activation: str) -> bool:
    """Whether a setting makes a difference to networks with an activation.

    >>> concerns("curves.hinges", "relu"), concerns("curves.hinges", "hinged")
    (False, True)
    >>> concerns("network.width", "relu"), concerns("training.curve_lr_factor", "prelu")
    (True, True)
    """
    section, _, name = path.partition(".")
    if section == "curves":
        return depends_on_curve_settings(activation)
    if section == "training" and name in _OF_CURVES:
        trained = name == "curve_lr_factor" and may_have_trained_parameters(activation)
        return trained or activation == "hinged" or ":" in activation  # It may hold curves.
    return True


def paths(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of nested settings.

    >>> list(paths({"data": "digits", "network": {"depth": 2}}))
    ['data', 'network.depth']
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from paths(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _faults(study: Study, scale: str, fallback: bool) -> list[str]:
    faults: dict[str, None] = {}
    unknown = study.scale(scale).grid.keys() - study.grid.keys()
    if unknown:
        faults[f"grid: {', '.join(sorted(unknown))} is no axis of the study"] = None
    for _, _, _, values in _combinations(study, scale, fallback, None):
        try:
            build_experiment(**values)
        except errors.HingedError as error:
            faults[str(error)] = None
    if not faults:
        try:
            pretrainings(study, scale, fallback)
        except errors.HingedError as error:
            faults[f"pretrain: {error}"] = None
    return list(faults)


def _combinations(
    study: Study, scale: str, fallback: bool, seeds: int | None
) -> Iterator[tuple[str, Point, Variant, dict[str, Any]]]:
    """Yield name, point, variant and settings of every cell."""
    size = study.scale(scale)
    grid = {axis: size.grid.get(axis, values) for axis, values in study.grid.items()}
    instead: dict[str, Any] = {}
    if fallback and size.fallback is not None:
        instead = {"data": size.fallback}
        grid.pop("data", None)
    shown = [axis for axis, values in grid.items() if len(values) > 1]
    for variant in study.variants:
        for place in itertools.product(*grid.values()):
            point = tuple(zip(grid, place, strict=True))
            values = merge_settings(study.settings, size.settings, variant.settings, instead)
            for axis, value in point:
                values = merge_settings(values, nest_setting(axis, value))
            values["seeds"] = tuple(range(seeds or size.seeds))
            seen = tuple((axis, _shown(value)) for axis, value in point if axis in shown)
            yield _name(variant, seen), seen, variant, values


def _name(variant: Variant, point: Point) -> str:
    parts = [variant.name, *(f"{_last(axis)}-{_text(value)}" for axis, value in point)]
    return "_".join(as_file_name(part) for part in parts if part) or "all"


def _last(axis: str) -> str:
    return axis.rpartition(".")[2].replace("_", "-")


def _shown(value: Any) -> Any:
    """Return a value of an axis as its place is called: of several settings their values."""
    return " ".join(map(_text, value.values())) if isinstance(value, Mapping) else value


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
