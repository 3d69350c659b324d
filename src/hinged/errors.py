"""What goes wrong, in one uniform sentence: the call, what came, what was expected, what to do."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class HingedError(Exception):
    """Everything this library raises on purpose."""


class ArgumentError(HingedError, ValueError):
    """An argument has a value or a shape that cannot work; the message says which would."""


class DtypeError(HingedError, TypeError):
    """A tensor has a dtype the call cannot compute with; convert it as the message says."""


class UnknownNameError(ArgumentError):
    """A name is not in its registry; the message lists near matches or all names."""


class MissingExtraError(HingedError, ImportError):
    """An optional part of the library was asked for and its packages are not installed."""


class RunFolderError(HingedError, RuntimeError):
    """A run folder cannot be used: it holds another experiment, or its files cannot be read or
    written."""


class DataError(HingedError, ValueError):
    """A data set cannot be used: it is missing, damaged, or none a network can be trained on."""


class CurveFileError(HingedError, ValueError):
    """A file of curves is damaged, is none, or belongs to another model; nothing was changed."""


class InexactStartWarning(UserWarning):
    """A function with a kink was asked for, but the hinges given do not hold that kink."""


class MovedStartWarning(UserWarning):
    """Curves did not keep to a constraint and were moved to the closest that do."""


class OtherWeightsWarning(UserWarning):
    """Curves were loaded into a model whose other weights are not those they were saved with."""


class NoEffectWarning(UserWarning):
    """A call found nothing to change."""


class OutsideRangeWarning(UserWarning):
    """Many inputs of a layer lie outside its hinges, where no values of their own are trained."""


class NoInputsSeenWarning(UserWarning):
    """The steps that were to be watched ended, and no layer of curves had seen any inputs."""


def message(call: str, got: str, hint: str) -> str:
    """Return the one form every message has.

    >>> message("hinged.PiecewiseLinear(hinges=...)", "1 hinge", "a curve needs at least 2")
    '`hinged.PiecewiseLinear(hinges=...)`: got 1 hinge; a curve needs at least 2.'
    """
    return f"`{call}`: got {got}; {hint}."


def unknown_name(call: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not among `known`, with the nearest ones first."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {_either(near)}? All" if near else "expected one"
    return UnknownNameError(message(call, repr(name), f"{hint} of: {', '.join(names)}"))


def require_extra(extra: str, packages: Iterable[str]) -> None:
    """Raise `MissingExtraError` unless every one of `packages` can be imported."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"`hinged.{extra}` needs {', '.join(missing)}, which this Python does not have. "
            f"Install the extra: pip install 'hinged[{extra}]'."
        )


def _either(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)
