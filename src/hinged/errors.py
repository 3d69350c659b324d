"""Errors and warnings; each message names the call, what it got, and what to do."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class HingedError(Exception):
    """Base class of all errors of this library."""


class ArgumentError(HingedError, ValueError):
    """An argument has an invalid value or shape; the message says what is valid."""


class DtypeError(HingedError, TypeError):
    """A tensor has a dtype that the call cannot use; convert it as the message says."""


class UnknownNameError(ArgumentError):
    """A name is unknown; the message lists similar names, or all names."""


class MissingExtraError(HingedError, ImportError):
    """An optional part of the library was used, but its packages are not installed."""


class RunFolderError(HingedError, RuntimeError):
    """A run folder belongs to another experiment, or its files cannot be read or written."""


class DataError(HingedError, ValueError):
    """A data set is missing, damaged, or unsuitable for training a network."""


class CurveFileError(HingedError, ValueError):
    """A file is not a file of curves, is damaged, or belongs to another model."""


class InexactStartWarning(UserWarning):
    """The start function has a kink, but no hinge was given at that kink."""


class MovedStartWarning(UserWarning):
    """Curves did not meet a constraint and were moved to the closest curves that do."""


class OtherWeightsWarning(UserWarning):
    """The model has other weights than the model that the loaded curves were saved from."""


class NoEffectWarning(UserWarning):
    """A call found nothing to change."""


class OutsideRangeWarning(UserWarning):
    """Many inputs of a layer lie outside its range, where only the tails apply."""


class NoInputsSeenWarning(UserWarning):
    """No layer of curves had inputs during the steps in which inputs were to be observed."""


def message(call: str, got: str, hint: str) -> str:
    """Return an error message; all messages have this form.

    >>> message("hinged.PiecewiseLinear(hinges=...)", "1 hinge", "a curve needs at least 2")
    '`hinged.PiecewiseLinear(hinges=...)`: got 1 hinge; a curve needs at least 2.'
    """
    return f"`{call}`: got {got}; {hint}."


def unknown_name(call: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not in `known`; it lists similar names first."""
    names = sorted(known)
    similar = [
        repr(each) for each in difflib.get_close_matches(str(name).lower(), names, cutoff=0.5)
    ]
    hint = f"did you mean {' or '.join(similar)}? All" if similar else "expected one"
    return UnknownNameError(message(call, repr(name), f"{hint} of: {', '.join(names)}"))


def require_extra(extra: str, packages: Iterable[str]) -> None:
    """Raise `MissingExtraError` unless all `packages` are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"`hinged.{extra}` needs {', '.join(missing)}, which this Python does not have. "
            f"Install the extra: pip install 'hinged[{extra}]'."
        )
