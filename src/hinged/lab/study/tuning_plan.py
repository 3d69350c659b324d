"""The combinations of settings that a tuning tries for each activation."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hinged import errors
from hinged.lab.experiment.schema import parse_value
from hinged.lab.networks.activations import check_activation_name
from hinged.lab.runs.build_experiment import check_own_setting
from hinged.lab.runs.tuning import Tuning
from hinged.lab.study.setting_effects import setting_affects
from hinged.lab.study.tune import Axes, Tune


def plan_tuning(tune: Tune, activations: Iterable[str], call: str = "tune") -> Tuning:
    """Return the combinations of settings that are tried for each activation.

    Args:
        tune: the lists of values of the settings.
        activations: names of the activations that are compared.
        call: the section or option that error messages name.

    Raises:
        UnknownNameError: if a setting or an activation does not exist.
        ArgumentError: if a list is empty or contains a value twice, if a list for a single
            activation has no effect on it, or if the activations have different numbers of
            combinations, or only one.

    >>> tune = Tune(settings={"training.lr": (0.1, 0.2)})
    >>> plan_tuning(tune, ["relu"]).combinations
    {'relu': ({'training.lr': 0.1}, {'training.lr': 0.2})}
    """
    for axes in (tune.settings, *tune.activations.values()):
        _check_axes(axes, call)
    combinations = {name: _combine(_axes_of(name, tune, call)) for name in activations}
    _check_activations(tune, combinations, call)
    _check_equal_effort(combinations, call)
    return Tuning(combinations, tune.seeds, tune.validation)


def parse_tune_options(options: Iterable[str]) -> Tune:
    """Return what options such as `training.lr=0.003,0.006` of `hinged compare` try.

    Args:
        options: texts `NAME=VALUES` or `ACTIVATION:NAME=VALUES`, with values separated by commas.

    Raises:
        ArgumentError: if an option has another form, or occurs twice.

    >>> parse_tune_options(["training.lr=0.1,0.2", "hinged:curves.init=relu,silu"]).activations
    {'hinged': {'curves.init': ('relu', 'silu')}}
    """
    shared: Axes = {}
    own: dict[str, Axes] = {}
    for option in options:
        left, equals, values = option.partition("=")
        if not (equals and values):
            hint = "expected NAME=VALUES, for example training.lr=0.003,0.006,0.012"
            raise errors.ArgumentError(errors.message("tune", option, hint))
        activation, _, name = left.rpartition(":")
        axes = own.setdefault(activation, {}) if activation else shared
        if name in axes:
            hint = "give all values of a setting in one option"
            raise errors.ArgumentError(errors.message("tune", f"{left} twice", hint))
        axes[name] = tuple(parse_value(text) for text in values.split(","))
    return Tune(settings=shared, activations=own)


def _axes_of(activation: str, tune: Tune, call: str) -> Axes:
    """Return the lists of values of the settings that are tried for one activation."""
    own = tune.activations.get(activation, {})
    without_effect = [name for name in own if not setting_affects(name, activation)]
    if without_effect:
        hint = "this setting does not change the training with this activation: leave it out"
        got = f"{without_effect[0]} for {activation}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    shared = {name: v for name, v in tune.settings.items() if setting_affects(name, activation)}
    return shared | own


def _combine(axes: Axes) -> tuple[dict[str, Any], ...]:
    return tuple(
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    )


def _check_axes(axes: Axes, call: str) -> None:
    for name, values in axes.items():
        check_own_setting(call, name)
        if not values or any(value in values[:place] for place, value in enumerate(values)):
            listed = ", ".join(map(str, values)) or "no value"
            hint = "give each value that is to be tried once"
            raise errors.ArgumentError(errors.message(call, f"{name} with {listed}", hint))


def _check_activations(tune: Tune, combinations: Iterable[str], call: str) -> None:
    for name in tune.activations:
        check_activation_name(call, name)
        if name not in combinations:
            hint = "this activation is not compared: leave its settings out"
            raise errors.ArgumentError(errors.message(call, f"settings for {name}", hint))


def _check_equal_effort(combinations: dict[str, tuple[dict[str, Any], ...]], call: str) -> None:
    numbers = {name: len(each) for name, each in combinations.items()}
    if len(set(numbers.values())) > 1:
        hint = (
            "each activation needs the same number, so that comparisons are fair: give some "
            "activations lists of their own, for example with --tune relu:training.lr=0.003,0.006 "
            "or in [tune.activations.relu]"
        )
    elif set(numbers.values()) == {1}:
        hint = "there is nothing to choose: give at least two values of a setting"
    else:
        return
    listed = ", ".join(f"{number} for {name}" for name, number in numbers.items())
    got = f"these numbers of combinations of settings: {listed}"
    raise errors.ArgumentError(errors.message(call, got, hint))
