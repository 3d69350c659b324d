"""Error and warning classes. Each message names the call, what the call got, and what to do."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral
from typing import TypeGuard

_OTHER_NAMES = {
    "clamp": "constant",
    "flat": "constant",
    "hswish": "hardswish",
    "leaky": "leaky_relu",
    "linear": "identity",
    "logistic": "sigmoid",
    "lrelu": "leaky_relu",
    "none": "identity",
    "swish": "silu",
    "tv": "differences",
    "tv2": "curvature",
}
"""Names that other libraries and papers use, with the names that this library uses."""

_MOST_NAMES = 60
"""Largest number of valid names that a message lists."""


class HingedError(Exception):
    """Base class of all errors of this library."""


class ArgumentError(HingedError, ValueError):
    """Error for an argument with an invalid value or shape; the message says what is valid."""


class DtypeError(HingedError, TypeError):
    """Error for a tensor with a dtype that the call cannot use; the message says how to convert
    it."""


class UnknownNameError(ArgumentError):
    """Error for a name that does not exist; the message lists similar names, or all names."""


class MissingExtraError(HingedError, ImportError):
    """Error for an optional part of the library whose packages are not installed."""


class RunFolderError(HingedError, RuntimeError):
    """Error for the folder of a training run: it belongs to another experiment, or it cannot be
    read or written."""


class WorkerError(HingedError, RuntimeError):
    """Error for a process of several that was killed, so that its training has no result."""


class DataError(HingedError, ValueError):
    """Error for a data set that is missing, damaged, or unsuitable for training a network."""


class CurveFileError(HingedError, ValueError):
    """Error for a file that does not contain curves, is damaged, or belongs to another model."""


class EstimatorFileError(HingedError, ValueError):
    """Error for a file that does not contain an estimator, or that is damaged or was changed."""


class ConversionError(HingedError, RuntimeError):
    """Error for a model that would compute something else after its conversion."""


class ChangedOutputsWarning(UserWarning):
    """Warning that a conversion has changed the outputs of a model much."""


class ChangedActivationWarning(UserWarning):
    """Warning that a converted model does not use some of its curves, because somebody has changed
    the activation in whose place they are, or a setting of it."""


class InexactStartWarning(UserWarning):
    """Warning that the start function has a kink at which there is no hinge.

    The curve then starts as the closest fit and not as exactly that function.
    """


class MovedStartWarning(UserWarning):
    """Warning that curves did not satisfy a constraint and were moved to the closest curves that
    do."""


class OtherWeightsWarning(UserWarning):
    """Warning that curves were loaded into a model whose other weights differ from the saved
    model's."""


class NoEffectWarning(UserWarning):
    """Warning that a call changed nothing, because it found nothing to change."""


class OutsideRangeWarning(UserWarning):
    """Warning that many inputs of a layer lie outside the range from its first to its last
    hinge."""


class NoInputsSeenWarning(UserWarning):
    """Warning that a call observed the inputs of the curve layers, but no layer received inputs."""


class ManyBatchesWarning(UserWarning):
    """Warning that data without a length have yielded very many batches, and may have no end."""


class MorePassesWarning(UserWarning):
    """Warning that a loop in a converted model has more passes than when it was converted, so that
    some passes have no curves."""


class FrozenCurvesWarning(UserWarning):
    """Warning that peft has frozen all curves of a model."""


class DecayedCurvesWarning(UserWarning):
    """Warning that an optimizer applies weight decay to curves, which pulls their values to 0."""


class ShortTravelWarning(UserWarning):
    """Warning that the learning rate of curves is so small, for the number of training steps, that
    the curves will hardly change."""


def message(call: str, got: str, hint: str) -> str:
    """Return the text of an error: the call, what the call got, and what to do.

    Args:
        call: the call that the user made, with the argument in question.
        got: what the call got.
        hint: what was expected or what to do.

    >>> message("hinged.PiecewiseLinear(hinges=...)", "1 hinge", "a curve needs at least 2")
    '`hinged.PiecewiseLinear(hinges=...)`: got 1 hinge; a curve needs at least 2.'
    """
    return printable(f"`{call}`: got {got}; {hint}.")


def printable(text: str) -> str:
    """Return a text in which escapes replace line breaks and other invisible characters.

    Texts from files may contain them. They would break a line, or control the terminal.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def check_flags(call: str, **flags: object) -> None:
    """Raise `ArgumentError` unless all arguments are True or False.

    Args:
        call: the name of the public function, for the error message.
        flags: the arguments by name.

    >>> check_flags("hinged.convert", gates=1)
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `hinged.convert(gates=...)`: got 1; expected True or False.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            text = message(f"{call}({name}=...)", shown(value), "expected True or False")
            raise ArgumentError(text)


def is_whole_number(value: object, least: int | None = None) -> TypeGuard[int]:
    """Return whether a value is a whole number of Python or NumPy that is not too small.

    True and False are no numbers here, and 3.0 is not a whole number.

    Args:
        value: the value.
        least: the least valid number; None for no limit.

    >>> [is_whole_number(each, 3) for each in (3, 2, 3.0, True)]
    [True, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return least is None or int(value) >= least


def unknown_name(call: str, name: object, known: Iterable[str], also: str = "") -> UnknownNameError:
    """Return the error for a name that is not in `known`.

    Args:
        call: the call that the user made, with the argument in question.
        name: the name that the user gave.
        known: all valid names. The message lists them, and names that are similar to `name` first.
        also: what is valid besides these names.

    >>> print(unknown_name("f(init=...)", "swish", ["relu", "silu", "hardswish"]))
    `f(init=...)`: got 'swish'; did you mean 'silu'? All of: hardswish, relu, silu.
    """
    return UnknownNameError(message(call, shown(name), names_hint(name, known) + also))


def names_hint(name: object, known: Iterable[str]) -> str:
    """Return the hint of an error for a name that is not in `known`.

    >>> names_hint("n_ensembles", ["alpha", "n_ensemble"])
    "did you mean 'n_ensemble'? All of: alpha, n_ensemble"
    """
    names = sorted(known)
    similar = [repr(each) for each in _similar_names(str(name), names)]
    hint = f"did you mean {' or '.join(similar)}? All" if similar else "expected one"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{hint} of: {', '.join(names[:_MOST_NAMES])}{more}"


def _similar_names(name: str, names: Sequence[str]) -> list[str]:
    """Return the name that a word of the user means, or up to three names that are spelled like it.

    Capitals and underscores do not matter, so `LeakyReLU` means `leaky_relu`.
    """
    spelled = {_letters_of(each): each for each in names}
    letters = _letters_of(name)
    meant = spelled.get(letters, _OTHER_NAMES.get(letters, ""))
    if meant in names:
        return [meant]
    return difflib.get_close_matches(name.lower(), names, cutoff=0.5)


def _letters_of(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


def shown(value: object) -> str:
    """Return a value as a message shows it: its `repr`, or its class if the `repr` is long.

    >>> shown("3"), shown([1.0] * 100), shown(None)
    ("'3'", 'a list', 'None')
    """
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else class_of(value)


def class_of(value: object) -> str:
    """Return the class of a value with its article; `None` for None.

    >>> class_of([]), class_of(3), class_of(None)
    ('a list', 'an int', 'None')
    """
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


@contextlib.contextmanager
def note_on_error(describe: Callable[[], str]) -> Iterator[None]:
    """Add a note to an error that is raised in the `with` block.

    Python shows the note below the error, from version 3.11 on.

    Args:
        describe: a function that returns the note. It is called only if there is an error.
    """
    try:
        yield
    except Exception as error:
        if sys.version_info >= (3, 11):
            error.add_note(describe())
        raise


def require_extra(extra: str, packages: Iterable[str]) -> None:
    """Raise `MissingExtraError` unless all packages of an optional part of the library are
    installed.

    Args:
        extra: name of the optional part, as in `pip install 'hinged[extra]'`.
        packages: names of the packages to import.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"`hinged.{extra}` needs {', '.join(missing)} (not installed). Install what is missing "
            f"with: pip install 'hinged[{extra}]'."
        )
