"""Checks the argument `optimizers` of a function, and says what to pass instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer

from hinged import errors


def check_optimizers(optimizers: Any, call: str) -> list[Optimizer]:
    """Return the optimizers that a user has passed as a list.

    Args:
        optimizers: one optimizer, or several.
        call: the name of the public function, for the error message.

    Raises:
        ArgumentError: if something else was passed.

    >>> check_optimizers("adam", "hinged.convert")
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `hinged.convert(optimizers=...)`: got 'adam'; expected an \
optimizer of torch.optim, or a list of them.
    """
    given = [optimizers] if isinstance(optimizers, Optimizer) else optimizers
    found = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(each, Optimizer) for each in found):
        hint = "expected an optimizer of torch.optim, or a list of them"
        got = errors.shown(optimizers)
        raise errors.ArgumentError(errors.message(f"{call}(optimizers=...)", got, hint))
    return found
