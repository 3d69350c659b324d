"""The column that decides how the rows of a table are divided: groups or times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hinged import errors
from hinged.lab.data.row_division import GroupDivision, RowDivision, TimeDivision
from hinged.lab.data.tables.columns import (
    Column,
    check_single_values,
    missing_rows,
    number_levels,
    read_column,
)


class DivisionColumn(NamedTuple):
    """A column that decides how rows are divided.

    Attributes:
        division: the division.
        column: what remains of the column as an input.
    """

    division: RowDivision
    column: Column


def read_division(
    call: str, table: Any, targets: list[str], split: str | None
) -> DivisionColumn | None:
    """Return the division that a setting names, or None if rows are divided at random.

    Args:
        call: name of the data in error messages.
        table: the `pyarrow.Table`.
        targets: names of the target columns.
        split: `group:COLUMN` or `time:COLUMN`; None divides the rows at random.

    Raises:
        DataError: if the column does not exist, is a target, or has missing values, or if a column
            of times contains neither numbers nor dates.
    """
    if split is None:
        return None
    kind, _, name = split.partition(":")
    fault = ""
    if name not in table.column_names:
        fault = f"the columns are {', '.join(table.column_names)}"
    elif name in targets:
        fault = "choose a column that is not the target"
    if fault:
        raise errors.DataError(errors.message("table.split", split, fault))
    return _read_groups(call, table, name) if kind == "group" else _read_times(call, table, name)


def _read_groups(call: str, table: Any, name: str) -> DivisionColumn:
    check_single_values(call, name, table[name])
    _check_complete(call, name, missing_rows(table[name]))
    codes, levels = number_levels(table[name])
    remark = (
        f"{len(levels):,} groups. All rows of a group are on the same side of every split, and the "
        "group is no input"
    )
    column = Column(name, "left out", np.empty((len(codes), 0)), remark=remark)
    return DivisionColumn(GroupDivision(name, codes), column)


def _read_times(call: str, table: Any, name: str) -> DivisionColumn:
    column = read_column(call, name, table[name])
    if column.kind not in ("numbers", "dates"):
        got = f"no times in the column {name}" + f" ({column.remark})" * bool(column.remark)
        hint = "choose a column of numbers or dates that differ"
        raise errors.DataError(errors.message(call, got, hint))
    times = column.values[:, 0]
    _check_complete(call, name, np.flatnonzero(np.isnan(times)))
    remark = "orders the rows. Splits test on later rows than they train on"
    if column.kind == "numbers" or column.values.shape[1] == 1:
        remark += ", and it is no input"
        left = replace(column, kind="left out", values=column.values[:, 1:], remark=remark)
    else:
        remark += ", and inputs are the position in the year, the week and the day, not the date"
        left = replace(column, values=column.values[:, 1:], remark=remark)
    return DivisionColumn(TimeDivision(name, times), replace(left, warns=False))


def _check_complete(call: str, name: str, missing: NDArray[np.int64]) -> None:
    if len(missing):
        first = f"the first in row {missing[0] + 1}"
        got = f"empty, NaN or infinite values in {name}, which divides the rows, {first}"
        raise errors.DataError(errors.message(call, got, "give every row a value"))
