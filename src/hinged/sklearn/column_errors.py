"""Errors that name the columns of a table, or the targets, that are not numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np

from hinged import errors

_MOST_NAMED = 5
"""Largest number of columns that a message names."""


@contextmanager
def name_other_columns(
    call: str, table: Any, names: Sequence[str] | None, targets: Any = None
) -> Iterator[None]:
    """Name what is not a number if the `with` block, a check of scikit-learn, fails.

    Other errors stay as they are. Columns are named only in tables with names of columns.

    Args:
        call: the call that got the table, for the message.
        table: the table, such as a frame of pandas or polars, or a table of pyarrow.
        names: the names of the columns that the table must have; None for any.
        targets: the targets, if they must be numbers.

    Raises:
        ArgumentError: if a column or the targets contain texts that are not numbers, or dates.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        columns = list(getattr(table, "column_names", getattr(table, "columns", ())))
        found = {}
        if names is None or list(names) == columns:
            found = {name: _first_other(table[name]) for name in columns}
        others = [f"{name} ({value})" for name, value in found.items() if value]
        if not others:
            other = "" if targets is None else _first_other(targets)
            if not other:
                raise
            hint = "MLPClassifier predicts classes, which can be texts"
            text = errors.message(call, f"targets that are not numbers: {other}", hint)
            raise errors.ArgumentError(text) from error
        more = len(others) - _MOST_NAMED
        listed = ", ".join(others[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        hint = "make numbers of them in a pipeline, texts for example with OneHotEncoder"
        text = errors.message(call, f"columns that are not numbers: {listed}", hint)
        raise errors.ArgumentError(text) from error


def _first_other(column: Any) -> str:
    """Return the first text or date in a column as a message shows it; empty if all are numbers."""
    values = np.asarray(column)
    if values.dtype.kind in "biufc":
        return ""
    return next((errors.shown(str(value)) for value in values.ravel() if _is_other(value)), "")


def _is_other(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, date | np.datetime64)
    try:
        float(value)
    except ValueError:
        return True
    return False
