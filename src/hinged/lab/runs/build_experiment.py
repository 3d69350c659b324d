"""Building experiments from settings, and checking their names before any training.

An experiment is one network that is trained with several activations from several seeds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from hinged import errors
from hinged.curve import START_FUNCTIONS, TAILS, uniform_grid
from hinged.lab.data import (
    AUGMENTATIONS,
    check_data_set_name,
    check_table_settings,
    is_table_path,
)
from hinged.lab.experiment.choices import OPTIMIZERS
from hinged.lab.experiment.schema import Experiment, apply_assignments
from hinged.lab.experiment.setting_faults import setting_faults
from hinged.lab.experiment.setting_list import list_settings
from hinged.lab.experiment.settings import CurveSettings, flatten_settings
from hinged.lab.networks.activations import INIT_SAME, check_activation_name
from hinged.lab.networks.catalogue import check_network_kind

_SAME_FOR_ALL = (
    "training.epochs",
    "training.steps_per_epoch",
    "training.head_epochs",
    "training.head_lr",
    "training.validation",
    "training.keep_best",
    "training.precision",
)
"""Settings of `training` that a single activation cannot have a value of its own for."""


def build_experiment(assignments: Iterable[str] = (), /, **values: Any) -> Experiment:
    """Return an experiment with these settings, after checking all of them.

    Args:
        assignments: texts `NAME=VALUE`, for example `training.epochs=2`. They override
            `values`.
        **values: settings of `Experiment`; the settings of a section are a dict. A setting that is
            not given has its default. The default network of a table is `mlp`.

    Raises:
        UnknownNameError: if a given name of a setting, data set, network, activation or optimizer
            does not exist. Also if the tails of curves, the function with which curves start, or an
            augmentation is unknown.
        ArgumentError: if a setting does not allow its value. The message lists all wrong settings.
    """
    values = apply_assignments(values, assignments)
    try:
        return check_experiment(Experiment(**_with_network(values)))
    except pydantic.ValidationError as invalid:
        raise errors.ArgumentError(setting_faults(invalid)) from None


def _with_network(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings with the network `mlp` if the data are a table and no network is given."""
    network = values.get("network", {})
    is_table = is_table_path(str(values.get("data", "")))
    if not is_table or not isinstance(network, Mapping) or "kind" in network:
        return values
    return {**values, "network": {**network, "kind": "mlp"}}


def check_experiment(experiment: Experiment) -> Experiment:
    """Return the experiment unchanged, or raise if its settings contradict each other.

    Raises:
        UnknownNameError: if a name of a data set, network, activation, optimizer or augmentation
            does not exist. Also if the tails of curves or the function with which curves start is
            unknown.
        ArgumentError: if an activation is listed twice, if the baseline is not among the
            activations, if there are more seeds than folds, if `keep_best` is set without
            `validation`, if `curve_decay` is set without `curve_metric`, if `overrides` contain a
            setting that must be the same for all activations, or if no curve can have the hinges
            and the range.
    """
    names: list[tuple[str, str, Iterable[str]]] = [
        *(("training.augment", name, AUGMENTATIONS) for name in experiment.training.augment),
        ("curves.init", experiment.curves.init, (*START_FUNCTIONS, INIT_SAME)),
        ("curves.tails", experiment.curves.tails, TAILS),
        ("training.optimizer", experiment.training.optimizer, OPTIMIZERS),
    ]
    check_data_set_name(experiment.data)
    check_table_settings(experiment.data, experiment.table)
    check_network_kind(experiment.network.kind)
    for setting, name, known in names:
        if name not in known:
            raise errors.unknown_name(setting, name, known)
    for activation in experiment.activations:
        check_activation_name("activations", activation)
    _check_keep_best(experiment)
    _check_pull(experiment)
    _check_overrides(experiment)
    if "hinged" in experiment.activations:
        _check_curves(experiment.curves)
    _check_folds(experiment)
    _check_list_of_activations(experiment)
    return experiment


def _check_folds(experiment: Experiment) -> None:
    if experiment.folds is not None and len(experiment.seeds) > experiment.folds:
        got = f"{len(experiment.seeds)} seeds for {experiment.folds} folds"
        hint = "each seed tests on a different fold, so use fewer seeds or more folds"
        raise errors.ArgumentError(errors.message("seeds", got, hint))


def _check_list_of_activations(experiment: Experiment) -> None:
    if experiment.baseline not in experiment.activations:
        got = f"{experiment.baseline!r}, which is not among {', '.join(experiment.activations)}"
        hint = "add it to the setting `activations`, or choose a baseline from them"
        raise errors.ArgumentError(errors.message("baseline", got, hint))
    if len(set(experiment.activations)) < len(experiment.activations):
        hint = "list each activation only once"
        got = ", ".join(experiment.activations)
        raise errors.ArgumentError(errors.message("activations", got, hint))


def _check_keep_best(experiment: Experiment) -> None:
    """Raise `ArgumentError` if the best epoch is to be kept without validation samples."""
    if experiment.training.keep_best and not experiment.training.validation:
        hint = "set training.validation too, for example to 0.2: the test split chooses nothing"
        raise errors.ArgumentError(
            errors.message("training.keep_best", "true without validation samples", hint)
        )


def _check_pull(experiment: Experiment) -> None:
    """Raise `ArgumentError` if curves are to be pulled to their start without their metric."""
    training = experiment.training
    if training.curve_decay and not training.curve_metric:
        got = f"{training.curve_decay:g} with training.curve_metric=false"
        hint = "leave one of the two out: only training in the metric pulls curves to their start"
        raise errors.ArgumentError(errors.message("training.curve_decay", got, hint))


def _check_overrides(experiment: Experiment) -> None:
    """Raise an error if the settings of a single activation are not allowed."""
    for activation, own in experiment.overrides.items():
        check_activation_name("overrides", activation)
        for name in flatten_settings(own):
            check_own_setting("overrides", name)
        check_experiment(experiment.for_activation(activation))


def check_own_setting(call: str, name: str) -> None:
    """Raise an error if single activations cannot have a value of their own for a setting.

    Args:
        call: the setting or option that error messages name.
        name: the full name of the setting, for example `training.lr`.

    Raises:
        UnknownNameError: if there is no such setting in the sections `training` and `curves`.
        ArgumentError: if the setting must be the same for all activations.
    """
    if name in _SAME_FOR_ALL:
        hint = "this setting must be the same for all activations, so that comparisons are fair"
        raise errors.ArgumentError(errors.message(call, name, hint))
    known = [each for each in list_settings() if each.partition(".")[0] in ("training", "curves")]
    if name not in known:
        raise errors.unknown_name(call, name, set(known) - set(_SAME_FOR_ALL))


@functools.lru_cache
def _check_curves(curves: CurveSettings) -> None:
    """Raise `ArgumentError` if there is no curve with these settings."""
    if not curves.low < curves.high:
        got = f"{curves.low:g} for the first hinge and {curves.high:g} for the last"
        hint = "the first number must be smaller than the second"
        raise errors.ArgumentError(errors.message("curves.low", got, hint))
    kinks = () if curves.init == INIT_SAME else START_FUNCTIONS[curves.init].kinks
    try:
        uniform_grid(curves.hinges, (curves.low, curves.high), kinks=kinks, tails=curves.tails)
    except errors.ArgumentError as error:
        _, _, fault = str(error).partition("`: ")
        raise errors.ArgumentError(f"`curves.hinges`: {fault}") from None
