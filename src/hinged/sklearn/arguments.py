"""Checks of the arguments of the estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from numbers import Real
from typing import Any, ParamSpec

import numpy as np

from hinged import errors
from hinged.sklearn.feature_shapes import FeatureShape, check_columns, check_signs
from hinged.sklearn.network import ACTIVATIONS, CURVES

SOLVERS = ("adam", "lbfgs", "owo-molf", "lm")
"""The names of the training methods."""

SECOND_ORDER = ("owo-molf", "lm")
"""The training methods of `hinged.optim`."""

_ONLY_ADAM = ("batch_size", "learning_rate_init", "shuffle", "smoothing")
"""Arguments that only the solver "adam" uses."""


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: errors.is_whole_number(value, least)


def _number(low: float, high: float = np.inf, *, above: bool = False) -> Callable[[Any], bool]:
    def is_valid(value: Any) -> bool:
        if not isinstance(value, Real) or _is_flag(value):
            return False
        return (float(value) > low if above else float(value) >= low) and float(value) < high

    return is_valid


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


_Arguments = ParamSpec("_Arguments")

_Check = tuple[Callable[[Any], bool], str]

_CHECKS: dict[str, _Check] = {
    "alpha": (_number(0), "a number of at least 0"),
    "batch_size": (lambda v: v == "auto" or _whole(2)(v), "'auto' or a whole number from 2"),
    "early_stopping": (_is_flag, "True or False"),
    "input_curves": (_is_flag, "True or False"),
    "hinges": (_whole(3), "a whole number from 3"),
    "learning_rate_init": (_number(0, above=True), "a number above 0"),
    "max_iter": (_whole(1), "a whole number from 1"),
    "n_ensemble": (lambda v: v == "auto" or _whole(1)(v), "'auto' or a whole number from 1"),
    "n_iter_no_change": (
        lambda v: _whole(1)(v) or v == np.inf,
        "a whole number from 1, or infinity",
    ),
    "shuffle": (_is_flag, "True or False"),
    "smoothing": (
        lambda v: v == "auto" or _number(0, above=True)(v),
        "a number above 0, or 'auto'",
    ),
    "standardize": (_is_flag, "True or False"),
    "tol": (_number(0), "a number of at least 0"),
    "validation_fraction": (_number(0, 1, above=True), "a number between 0 and 1"),
    "verbose": (lambda v: _is_flag(v) or _whole(0)(v), "True, False or a whole number"),
    "warm_start": (_is_flag, "True or False"),
}


def refuses_unknown_arguments(init: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Make the `__init__` method of estimators raise errors in words for misspelt arguments.

    The signature stays, and so do the functions of scikit-learn that read it.

    Args:
        init: the method, whose first argument is the estimator.
    """
    names = list(signature(init).parameters)[1:]

    @wraps(init)
    def checked(*args: _Arguments.args, **arguments: _Arguments.kwargs) -> None:
        for name in arguments:
            if name not in names:
                call, got = f"{type(args[0]).__name__}({name}=...)", "an unknown argument"
                raise TypeError(errors.message(call, got, errors.names_hint(name, names)))
        init(*args, **arguments)

    return checked


def check_arguments(call: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise an error unless all arguments of an estimator are valid together.

    Args:
        call: the name of the estimator, for error messages.
        arguments: the arguments by name.
        defaults: their default values.

    Raises:
        UnknownNameError: if there is no such activation or solver.
        ArgumentError: if another argument is not valid, or if the solver cannot use it.
    """
    for name, names in (("activation", ACTIVATIONS), ("solver", SOLVERS)):
        if arguments[name] not in names:
            raise errors.unknown_name(f"{call}({name}=...)", arguments[name], names)
    for name, (is_valid, expected) in _CHECKS.items():
        if not is_valid(arguments[name]):
            got = errors.shown(arguments[name])
            raise errors.ArgumentError(
                errors.message(f"{call}({name}=...)", got, f"expected {expected}")
            )
    hidden_sizes(call, arguments["hidden_layer_sizes"])
    _check_solver(call, arguments, defaults)
    _check_shapes(call, arguments)
    if arguments["smoothing"] == "auto" and not arguments["early_stopping"]:
        hint = "it is chosen on the validation rows: set early_stopping=True, or give a number"
        got = "'auto' with early_stopping=False"
        raise errors.ArgumentError(errors.message(f"{call}(smoothing=...)", got, hint))


def hidden_sizes(call: str, sizes: Any) -> tuple[int, ...]:
    """Return the numbers of units of the hidden layers.

    Args:
        call: the name of the estimator, for error messages.
        sizes: one number, or a sequence of numbers.

    Raises:
        ArgumentError: if these are not whole numbers from 1.

    >>> hidden_sizes("MLPRegressor", 20), hidden_sizes("MLPRegressor", [20, 10])
    ((20,), (20, 10))
    """
    several = sizes if isinstance(sizes, tuple | list | np.ndarray) else [sizes]
    if not all(_whole(1)(each) for each in several):
        hint = "expected the number of units of each hidden layer, for example (64, 64)"
        call = f"{call}(hidden_layer_sizes=...)"
        raise errors.ArgumentError(errors.message(call, errors.shown(sizes), hint))
    return tuple(int(each) for each in several)


def _check_solver(call: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    solver = arguments["solver"]
    unused = {"adam": (), "lbfgs": _ONLY_ADAM}.get(solver, (*_ONLY_ADAM, "alpha"))
    for name in unused:
        if arguments[name] is not defaults[name] and arguments[name] != defaults[name]:
            got = f"{name}={errors.shown(arguments[name])}"
            hint = "this solver does not use it: leave it out, or choose solver='adam'"
            raise errors.ArgumentError(errors.message(f"{call}(solver={solver!r})", got, hint))
    if solver not in SECOND_ORDER:
        return
    call = f"{call}(solver={solver!r})"
    if arguments["input_curves"]:
        hint = "this solver trains networks without curves of columns: choose solver='adam'"
        raise errors.ArgumentError(errors.message(call, "input_curves=True", hint))
    layers = len(hidden_sizes(call, arguments["hidden_layer_sizes"]))
    if layers != 1:
        hint = "this solver trains networks with one hidden layer, for example (30,)"
        raise errors.ArgumentError(errors.message(call, f"{layers} hidden layers", hint))
    if arguments["warm_start"]:
        hint = "this solver always starts anew: leave it out, or choose solver='adam'"
        raise errors.ArgumentError(errors.message(call, "warm_start=True", hint))
    if arguments["device"] not in (None, "cpu"):
        hint = "this solver computes on the CPU: leave device out"
        got = f"device={errors.shown(arguments['device'])}"
        raise errors.ArgumentError(errors.message(call, got, hint))


def _check_shapes(call: str, arguments: Mapping[str, Any]) -> None:
    """Check the arguments that constrain single columns, as far as this needs no table."""
    for name in ("monotone", "convex"):
        check_signs(call, name, arguments.get(name))
    check_columns(call, arguments["bounded"])
    given = [name for name in FeatureShape._fields if arguments.get(name)]
    if not given:
        return
    if not arguments["input_curves"]:
        got = f"{given[0]} with input_curves=False"
        hint = "a constraint on a column needs a curve for it: set input_curves=True"
        raise errors.ArgumentError(errors.message(f"{call}({given[0]}=...)", got, hint))
    limits = [name for name in given if name != "bounded"]
    for name, needed in (("activation", CURVES), ("solver", "adam")):
        if limits and arguments[name] != needed:
            got = f"{limits[0]} with {name}={arguments[name]!r}"
            hint = f"only {name}={needed!r} can keep this constraint: choose it"
            raise errors.ArgumentError(errors.message(f"{call}({limits[0]}=...)", got, hint))
