"""The target columns of a table, and the task that they define: classification or regression."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.tables.columns import (
    check_single_values,
    is_text,
    missing_rows,
    number_levels,
    other_form,
    read_numbers,
    why_no_numbers,
)
from hinged.lab.data.tables.table_notes import listed
from hinged.lab.problems import Classification, Problem, Regression

Task = Literal["classification", "regression"]
MOST_CLASSES = 20
"""Largest number of different integers in a target column that is treated as classes."""


class Targets(NamedTuple):
    """The targets of a table.

    Attributes:
        y: class indices `(N,)`, or numbers to predict `(N, targets)` in float64.
        problem: the task, with the names of the classes or of the targets.
        note: a sentence that says which task was found, and why.
    """

    y: Tensor
    problem: Problem
    note: str


def read_targets(call: str, table: Any, names: list[str], task: Task | None) -> Targets:
    """Return the targets of a table.

    Args:
        call: name of the data in error messages.
        table: the `pyarrow.Table`.
        names: names of the target columns, at least one.
        task: the task. With None, a single column of texts, booleans, or at most 20 different
            integers makes a classification, and all others make a regression.

    Raises:
        DataError: if a target is missing, infinite or always the same, or if the columns do not fit
            the task.
    """
    for name in names:
        check_single_values(call, name, table[name])
        _check_complete(call, name, table[name])
    first = table[names[0]]
    is_classification = (
        len(names) == 1 and _are_classes(first) if task is None else (task == "classification")
    )
    if not is_classification:
        return _numbers(call, table, names, task)
    if len(names) > 1:
        hint = "a classification has one target column"
        raise errors.DataError(errors.message(call, f"the target columns {listed(names)}", hint))
    return _classes(call, names[0], first, task)


def _classes(call: str, name: str, column: Any, task: Task | None) -> Targets:
    codes, levels = number_levels(column)
    _check_varied(call, name, levels)
    counts = np.bincount(codes)
    if counts.min() < 2:
        once = [str(level) for level, count in zip(levels, counts, strict=True) if count < 2]
        got = f"classes of {name} that only one row has: {listed(once)}"
        hint = "give at least 2 rows of every class, or remove these rows"
        if not is_text(column):
            hint += ", or predict numbers: `table.task` regression"
        elif why_no_numbers(levels):
            hint = "if these are numbers, write them like 1234.5, or else " + hint
        raise errors.DataError(errors.message(call, got, hint))
    names = tuple(map(str, levels))
    note = f"{name}: {_different(column, len(levels))}, so the task is a classification"
    note += _how(task, column)
    if is_text(column) and (other := other_form(levels)):
        note += f" If {errors.shown(other)} is a number, write the numbers like 1234.5."
    return Targets(torch.from_numpy(codes), Classification(len(levels), names), note)


def _numbers(call: str, table: Any, names: list[str], task: Task | None) -> Targets:
    columns = [_target_numbers(call, name, table[name]) for name in names]
    for name, column in zip(names, columns, strict=True):
        _check_varied(call, name, np.unique(column))
    y = torch.from_numpy(np.stack(columns, axis=1))
    note = f"{listed(names)}: {len(names)} targets, so the task is a regression"
    if len(names) == 1:
        found = _different(table[names[0]], len(np.unique(columns[0])))
        note = f"{names[0]}: {found}, so the task is a regression"
    return Targets(y, Regression(len(names), tuple(names)), note + _how(task, None))


def _target_numbers(call: str, name: str, column: Any) -> Any:
    import pyarrow.types as kinds

    hint = "a regression needs numbers, and texts can only be the classes of one target column"
    if is_text(column):
        raise errors.DataError(errors.message(call, f"texts in the target column {name}", hint))
    if kinds.is_temporal(column.type):
        raise errors.DataError(errors.message(call, f"dates in the target column {name}", hint))
    return read_numbers(call, name, column)


def _how(task: Task | None, column: Any) -> str:
    """Return the end of the sentence about the task: who chose it, or how to choose another."""
    if task is not None:
        return ", as --task says."
    if column is None:
        return " (--task classification overrules)."
    return "." if is_text(column) else " (--task regression overrules)."


def _different(column: Any, count: int) -> str:
    import pyarrow.types as kinds

    if is_text(column):
        return f"{count:,} different texts"
    if kinds.is_boolean(column.type):
        return "true or false"
    numbers = "whole" if kinds.is_integer(column.type) else "decimal"
    return f"{count:,} different {numbers} numbers"


def _are_classes(column: Any) -> bool:
    import pyarrow.types as kinds

    if kinds.is_integer(column.type):
        return len(column.unique()) <= MOST_CLASSES
    return is_text(column) or kinds.is_boolean(column.type)


def _check_complete(call: str, name: str, column: Any) -> None:
    """Raise an error if a target is missing, NaN or infinite."""
    wrong = missing_rows(column)
    if len(wrong):
        got = (
            f"empty, NaN or infinite values in {name}, the first in row {wrong[0] + 1} of the data"
        )
        raise errors.DataError(errors.message(call, got, "a target needs a value: remove the rows"))


def _check_varied(call: str, name: str, values: Any) -> None:
    if len(values) == 1:
        got = f"the target column {name}, which is always {values[0]}"
        hint = "there is nothing to learn, so choose another target"
        raise errors.DataError(errors.message(call, got, hint))
