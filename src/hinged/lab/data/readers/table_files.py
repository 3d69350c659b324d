"""Reader of the user's tables: CSV and Parquet files, read with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.readers.data_files import damaged_file_error
from hinged.lab.data.train_test_split import TrainTestSplit, describe_table, split_at_random

SUFFIXES = (".csv", ".parquet")
MOST_LEVELS = 100
"""Largest number of different texts in an input column."""
MOST_CLASSES = 20
"""Largest number of different integers in a target column that is treated as classes."""


def read_csv_or_parquet(path: Path, targets: str | None = None) -> TrainTestSplit:
    """Read a table as a data set. The test split contains 30 % of the rows.

    An input column of numbers or booleans is one input. An input column of texts is one-hot
    encoded. A single target column of texts, booleans, or at most 20 different integers makes a
    classification. All other target columns make a regression.

    Args:
        path: path of a CSV file with a header line, or of a Parquet file.
        targets: names of the target columns, separated by commas. None takes the last column.

    Raises:
        DataError: if the file cannot be read, if a target column does not exist, if no input column
            remains, if a column has another type, or if a value is empty or not finite.
        MissingExtraError: if pyarrow is not installed.
    """
    if not path.is_file():
        raise _table_error(
            path, "a file that does not exist", "give a path relative to the current folder"
        )
    table = _load_table(path)
    names = [name.strip() for name in targets.split(",")] if targets else table.column_names[-1:]
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        hint = f"the columns are {', '.join(table.column_names)}"
        raise _table_error(path, f"target columns that do not exist: {', '.join(unknown)}", hint)
    _check_values(path, table)
    inputs = [name for name in table.column_names if name not in names]
    if not inputs:
        raise _table_error(path, "no input columns", "add a column that is not a target")
    x = torch.cat([_input_columns(path, table, name) for name in inputs], dim=1)
    if len(names) == 1 and _are_classes(table[names[0]]):
        y, levels = _integer_codes(table[names[0]])
        about = describe_table(x, y, len(levels))
        return split_at_random(about, x, y, len(levels), tuple(map(str, levels)))
    y = torch.stack([_numbers(path, table[name], name) for name in names], dim=1)
    return split_at_random(describe_table(x, y, None), x, y, None, tuple(names))


def _load_table(path: Path) -> Any:
    errors.require_extra("tables", ("pyarrow",))
    import pyarrow
    from pyarrow import csv, parquet

    try:
        read = csv.read_csv if path.suffix.lower() == ".csv" else parquet.read_table
        table = read(path)
    except (pyarrow.ArrowException, OSError) as error:
        _check_separator(path)
        raise damaged_file_error(path, error) from None
    if len(table.column_names) == 1:
        _check_separator(path)
    if not table.num_rows:
        raise _table_error(path, "a table without rows", "add at least 2 rows")
    return table.combine_chunks()


def _check_separator(path: Path) -> None:
    """Raise an error if semicolons or tabs separate the columns of a CSV file."""
    if path.suffix.lower() != ".csv":
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        header = file.readline()
    for name, separator in (("semicolons", ";"), ("tabs", "\t")):
        if separator in header:
            hint = "save it with commas between the columns, and with points in the numbers"
            raise _table_error(path, f"a file whose columns are separated by {name}", hint)


def _check_values(path: Path, table: Any) -> None:
    """Raise an error if a column contains an empty value, NaN or infinity."""
    import pyarrow.compute as pc

    def first_gap(column: Any) -> int:
        """Return the index of the first unusable value, or -1 if there is none."""
        usable = pc.is_finite(column) if _is_float(column) else pc.is_valid(column)
        return int(pc.index(pc.fill_null(usable, False), False).as_py())

    gaps = {name: gap for name in table.column_names if (gap := first_gap(table[name])) >= 0}
    if gaps:
        names = ", ".join([*gaps][:5])
        row = min(gaps.values()) + 1
        got = f"empty, NaN or infinite values in {names}, the first in row {row} of the data"
        raise _table_error(path, got, "replace these values, or remove the columns or rows")


def _input_columns(path: Path, table: Any, name: str) -> Tensor:
    """Return one input column of the table as a tensor in float64.

    A column of numbers or booleans has shape `(N, 1)`. A column of texts is one-hot encoded and has
    shape `(N, L)`, where `L` is the number of different texts in the column.
    """
    column = table[name]
    if not _is_text(column):
        return _numbers(path, column, name).unsqueeze(1)
    codes, levels = _integer_codes(column)
    if len(levels) > MOST_LEVELS:
        got = f"{len(levels)} different texts in the input column {name}"
        raise _table_error(path, got, f"at most {MOST_LEVELS} are allowed: remove this column")
    return torch.nn.functional.one_hot(codes, len(levels)).double()


def _are_classes(column: Any) -> bool:
    import pyarrow.types as kinds

    if kinds.is_integer(column.type):
        return len(column.unique()) <= MOST_CLASSES
    return _is_text(column) or kinds.is_boolean(column.type)


def _integer_codes(column: Any) -> tuple[Tensor, list[Any]]:
    """Convert the values of a column into integers.

    Returns:
        The index of each value in the sorted list of different values, `(N,)`, and this list.
    """
    values = column.to_pylist()
    levels = sorted(set(values))
    index = {value: position for position, value in enumerate(levels)}
    return torch.tensor([index[value] for value in values]), levels


def _numbers(path: Path, column: Any, name: str) -> Tensor:
    import pyarrow.types as kinds

    if not (kinds.is_integer(column.type) or kinds.is_boolean(column.type) or _is_float(column)):
        hint = "use numbers or booleans; texts can be inputs or the only target"
        raise _table_error(path, f"column {name} of type {column.type}", hint)
    return torch.tensor(column.to_pylist(), dtype=torch.float64)


def _is_float(column: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_floating(column.type))


def _is_text(column: Any) -> bool:
    import pyarrow.types as kinds

    text = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    return bool(kinds.is_string(text) or kinds.is_large_string(text))


def _table_error(path: Path, got: str, hint: str) -> errors.DataError:
    return errors.DataError(errors.message(f"data {path}", got, hint))
