"""The cells of a study: one experiment for each combination of its grid and its variants.

The grid has axes: each axis is the name of a setting with a list of values. A point of the grid is
one value from each axis. Variants are named settings.

Each network is trained only once, even if it belongs to several cells. For example, ReLU does not
depend on the number of hinges. So a study of hinges trains ReLU only in its first cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import merge_settings, nest_setting
from hinged.lab.networks.activations import depends_on_curve_settings
from hinged.lab.networks.pretrained import FROM_STUDY
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.run_folder import as_file_name
from hinged.lab.runs.tuning import Tuning, tuning_experiments
from hinged.lab.study import faults
from hinged.lab.study.definition import Study, Variant, parse_study
from hinged.lab.study.scales import SCALES
from hinged.lab.study.setting_effects import relevant_settings, setting_affects
from hinged.lab.study.tune import Tune
from hinged.lab.study.tuning_plan import plan_tuning

GridPoint = tuple[tuple[str, Any], ...]
"""One value from each axis of the grid, as pairs of axis and value."""


class Cell(NamedTuple):
    """A cell of a study: one experiment, with one combination of the study's settings.

    Attributes:
        name: name of the cell's run folder.
        point: pairs of axis and value, one for each axis of the grid that has several values. A
            value that consists of several settings is replaced by a text.
        experiment: the experiment, without activations whose networks an earlier cell trains.
        variant: the variant of the study (named settings) to which the cell belongs.
    """

    name: str
    point: GridPoint
    experiment: Experiment
    variant: Variant

    def label(self, activation: str) -> str:
        """Return the settings that distinguish this cell from others, in words.

        Args:
            activation: an activation of the cell. Settings that do not affect this activation are
                left out.
        """
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
    """Return the study that a TOML file describes, after checking all its experiments.

    All scales are checked, with their usual data and with their fallback data.

    Raises:
        ArgumentError: if the file or a setting is wrong. The message lists all faults.
    """
    study, text = parse_study(path), path.read_text(encoding="utf-8")
    scales_of: dict[str, list[str]] = {}
    for scale in SCALES:
        data = (False,) if study.scale(scale).fallback is None else (False, True)
        found = (fault for fallback in data for fault in _find_faults(study, scale, fallback))
        for fault in dict.fromkeys(found):
            scales_of.setdefault(fault, []).append(scale)
    if scales_of:
        listed = [
            f"{faults.with_lines(fault, text, scales)}{_name_scales(scales)}"
            for fault, scales in scales_of.items()
        ]
        raise errors.ArgumentError(faults.list_faults(path.name, listed))
    return study


def study_cells(
    study: Study, scale: str, fallback: bool = False, seeds: int | None = None
) -> list[Cell]:
    """Return the cells of a study at one scale. The cells of the first variant come first.

    A cell is one experiment: a variant of the study with one point of its grid.

    Args:
        study: the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        fallback: whether to use the data set `fallback` of the scale instead of the usual data.
        seeds: number of seeds of each cell; None for the number that the scale sets.

    Raises:
        ArgumentError, UnknownNameError: if an experiment has a wrong setting.
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
    """Return the experiments that pretrain the networks with `pretrained = "study"`.

    Args:
        study: the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        fallback: whether to use the data set `fallback` of the scale instead of the usual data.

    Returns:
        One experiment for each kind of network. It trains one network from one seed. The keys are
        the kinds, for example `cnn`.

    Raises:
        ArgumentError, UnknownNameError: if an experiment has a wrong setting, or if two networks of
            the same kind have different widths, depths or settings of `batch_norm`.
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
            hint = (
                "a study pretrains each kind of network only once, so give all networks of this "
                "kind the same width, depth and batch_norm"
            )
            raise errors.ArgumentError(errors.message("[pretrain]", got, hint))
    return experiments


def study_tuning(study: Study, scale: str, fallback: bool = False) -> Tuning | None:
    """Return what is tried for each activation of a study at one scale; None if nothing is tried.

    Args:
        study: the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        fallback: whether to use the data set `fallback` of the scale instead of the usual data.

    Raises:
        ArgumentError, UnknownNameError: if a tried setting is wrong, or is an axis of the grid.
    """
    tune = study.tune_of(scale)
    if tune is None:
        return None
    tuned = {cell.name: cell for cell in tuned_cells(study, scale, fallback).values()}
    names = dict.fromkeys(name for cell in tuned.values() for name in cell.experiment.activations)
    tuning = plan_tuning(tune, names)
    for name in {name for each in tuning.combinations.values() for name in each[0]}:
        if name in study.grid:
            hint = "a setting is either an axis of the grid or tuned: leave one of the two out"
            raise errors.ArgumentError(errors.message("tune", f"{name}, an axis of [grid]", hint))
    for cell in tuned.values():
        tuning_experiments(cell.experiment, tuning)
    return tuning


def tuned_cells(study: Study, scale: str, fallback: bool = False) -> dict[str, Cell]:
    """Return the cell whose tuning chooses the settings of a cell; the keys are names of cells.

    It is the cell itself, or another one if `[tune]` has values in `at`. The dictionary is empty if
    nothing is tried.

    Args:
        study: the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        fallback: whether to use the data set `fallback` of the scale instead of the usual data.

    Raises:
        UnknownNameError: if `at` names no axis of the grid.
        ArgumentError: if an axis does not have the value of `at` at this scale, or if the tuned
            cell does not train all activations of the other one.
    """
    tune = study.tune_of(scale)
    if tune is None:
        return {}
    grid = _grid_of(study, scale, fallback)
    _check_at(tune, grid)
    at = {(axis, _join_values(value)) for axis, value in tune.at.items() if len(grid[axis]) > 1}
    groups: dict[tuple[str, GridPoint], list[Cell]] = {}
    for cell in study_cells(study, scale, fallback):
        others = tuple(pair for pair in cell.point if pair[0] not in tune.at)
        groups.setdefault((cell.variant.name, others), []).append(cell)
    chosen_by: dict[str, Cell] = {}
    for group in groups.values():
        tuned = next((cell for cell in group if at <= set(cell.point)), None)
        trained = () if tuned is None else tuned.experiment.activations
        names = (name for cell in group for name in cell.experiment.activations)
        untuned = next((name for name in names if name not in trained), None)
        if tuned is None or untuned is not None:
            got = f"{tune.at}, where {untuned} is not trained"
            hint = "name only axes that change the training of all activations"
            raise errors.ArgumentError(errors.message("tune.at", got, hint))
        chosen_by |= {cell.name: tuned for cell in group}
    return chosen_by


def _check_at(tune: Tune, grid: Mapping[str, Sequence[Any]]) -> None:
    """Raise an error if `at` names no axis of the grid, or a value that the axis does not have."""
    for axis, value in tune.at.items():
        if axis not in grid:
            raise errors.unknown_name("tune.at", axis, grid)
        if value not in grid[axis]:
            hint = "give a value that this axis of [grid] has at this scale, or leave it out"
            raise errors.ArgumentError(errors.message("tune.at", f"{axis} = {value!r}", hint))


def dotted_names(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the full name of each setting in nested settings, for example `network.depth`.

    Args:
        settings: the settings; a section is a nested dict.
        prefix: text in front of each name.

    >>> list(dotted_names({"data": "digits", "network": {"depth": 2}}))
    ['data', 'network.depth']
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted_names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _name_scales(scales: Sequence[str]) -> str:
    """Return the scales of a fault in parentheses; nothing if it occurs at all scales."""
    return "" if len(scales) == len(SCALES) else f" (scale {' and '.join(scales)})"


def _loading_faults(activations: Iterable[str]) -> Iterator[str]:
    """Yield the error of each user's activation that cannot be loaded."""
    for name in sorted(activations):
        try:
            depends_on_curve_settings(name)
        except errors.HingedError as error:
            yield str(error)


def _overridden_settings(study: Study, scale: str) -> list[str]:
    """Return the settings of a scale that every variant of the study replaces by its own."""
    own = [set(dotted_names(variant.settings)) for variant in study.variants]
    names = dotted_names(study.scale(scale).settings)
    return [name for name in names if all(name in each for each in own)]


def _find_faults(study: Study, scale: str, fallback: bool) -> list[str]:
    found: dict[str, None] = {}
    for axis in study.scale(scale).grid.keys() - study.grid.keys():
        found[f"{axis}: the [grid] table of the study has no such axis"] = None
    for name in _overridden_settings(study, scale):
        found[f"{name}: has no effect at this scale, because every variant sets it"] = None
    activations: set[str] = set()
    baselines: set[str] = set()
    for _, _, _, settings in _combinations(study, scale, fallback, None):
        found |= dict.fromkeys(faults.experiment_faults(settings))
        baselines.add(str(settings.get("baseline", Experiment().baseline)))
        activations |= set(settings.get("activations", Experiment().activations))
    if len(baselines) > 1 and study.against != "first variant":
        names = " and ".join(map(repr, sorted(baselines)))
        found[f"baseline: got {names}; all experiments of a study have the same baseline"] = None
    if study.yes_if is not None and scale == "full":
        for name in set(study.yes_if.than) - activations:
            found[f"yes_if.than: got {name!r}; no experiment trains this activation"] = None
    if not found:
        found |= dict.fromkeys(_loading_faults(activations))
    if not found:
        try:
            pretraining_experiments(study, scale, fallback)
        except errors.HingedError as error:
            found[f"pretrain: {error}"] = None
        try:
            study_tuning(study, scale, fallback)
        except errors.HingedError as error:
            found[faults.as_field(str(error))] = None
    return list(found)


def _combinations(
    study: Study, scale: str, fallback: bool, seeds: int | None
) -> Iterator[tuple[str, GridPoint, Variant, dict[str, Any]]]:
    """Yield a tuple for every cell: its name, point of the grid, variant and nested settings."""
    size, grid = study.scale(scale), _grid_of(study, scale, fallback)
    fallback_data: dict[str, Any] = {}
    if fallback and size.fallback is not None:
        fallback_data = {"data": size.fallback}
    varied = [axis for axis, values in grid.items() if len(values) > 1]
    for variant in study.variants:
        for values in itertools.product(*grid.values()):
            settings = merge_settings(
                study.settings, size.settings, variant.settings, fallback_data
            )
            for axis, value in zip(grid, values, strict=True):
                settings = merge_settings(settings, nest_setting(axis, value))
            settings["seeds"] = tuple(range(seeds or size.seeds))
            if study.against == "first variant" and variant is not study.variants[0]:
                settings["baseline"] = _own_baseline(settings)
            point = tuple(
                (axis, _join_values(value))
                for axis, value in zip(grid, values, strict=True)
                if axis in varied
            )
            yield _cell_name(variant, point), point, variant, settings


def _grid_of(study: Study, scale: str, fallback: bool) -> dict[str, tuple[Any, ...]]:
    """Return the axes of the grid with their values at a scale."""
    size = study.scale(scale)
    grid = {axis: size.grid.get(axis, values) for axis, values in study.grid.items()}
    if fallback and size.fallback is not None:
        grid.pop("data", None)
    return grid


def _own_baseline(settings: Mapping[str, Any]) -> Any:
    """Return the baseline of an experiment, or its first activation if it lacks the baseline."""
    usual = Experiment()
    activations = settings.get("activations", usual.activations)
    baseline = settings.get("baseline", usual.baseline)
    return baseline if baseline in activations or not activations else activations[0]


def _cell_name(variant: Variant, point: GridPoint) -> str:
    parts = [variant.name, *(f"{_axis_name(axis)}-{_as_text(value)}" for axis, value in point)]
    return "_".join(as_file_name(part) for part in parts if part) or "all"


def _axis_name(axis: str) -> str:
    return axis.rpartition(".")[2].replace("_", "-")


def _join_values(value: Any) -> Any:
    """Return the values of a dict as one text, and any other value unchanged."""
    return " ".join(map(_as_text, value.values())) if isinstance(value, Mapping) else value


def _as_text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
