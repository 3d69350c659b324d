"""The user's own tables: CSV and Parquet files, read by pyarrow."""

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
"""Largest number of different texts in a column of inputs."""
MOST_CLASSES = 20
"""Largest number of different integers in a target that are taken as classes."""


def read_csv_or_parquet(path: Path, targets: str | None = None) -> TrainTestSplit:
    """Return a table, 30 % of it to test on.

    A column of numbers or booleans is one input. A column of texts is one-hot encoded. A target of
    texts, booleans, or at most 20 different integers is a classification; other targets are
    regressions.

    Args:
        path: a CSV file with a header line, or a Parquet file.
        targets: comma-separated names of the columns to predict; by default the last column.

    Raises:
        DataError: the file cannot be read, a column is missing, has a type that is none of these,
            or has a value that is empty or not finite.
    """
    if not path.is_file():
        raise _table_error(
            path, "no such file", "give the path of an existing table, from the current folder"
        )
    table = _load_table(path)
    names = [name.strip() for name in targets.split(",")] if targets else table.column_names[-1:]
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        hint = f"the columns are {', '.join(table.column_names)}"
        raise _table_error(path, f"no column {', '.join(unknown)}", hint)
    _check_values(path, table)
    inputs = [name for name in table.column_names if name not in names]
    if not inputs:
        raise _table_error(path, "no column to predict from", "give the inputs in other columns")
    x = torch.cat([_input_columns(path, table, name) for name in inputs], dim=1)
    y, classes = _target_columns(path, table, names)
    return split_at_random(describe_table(x, y, classes), x, y, classes)


def _load_table(path: Path) -> Any:
    errors.require_extra("tables", ("pyarrow",))
    import pyarrow
    from pyarrow import csv, parquet

    try:
        read = csv.read_csv if path.suffix.lower() == ".csv" else parquet.read_table
        table = read(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged_file_error(path, error) from None
    if not table.num_rows:
        raise _table_error(path, "a table without rows", "give at least 2")
    return table.combine_chunks()


def _check_values(path: Path, table: Any) -> None:
    """Raise if a column has an empty value, NaN or infinity."""
    import pyarrow.compute as pc

    def is_complete(column: Any) -> bool:
        if column.null_count:
            return False
        return not _is_float(column) or pc.all(pc.is_finite(column)).as_py()

    bad = [name for name in table.column_names if not is_complete(table[name])]
    if bad:
        got = f"empty or infinite values in {', '.join(bad[:5])}"
        raise _table_error(path, got, "replace them, or leave these columns or rows out")


def _input_columns(path: Path, table: Any, name: str) -> Tensor:
    """Return a column as `(N, 1)`, or one-hot as `(N, levels)` if it holds texts."""
    column = table[name]
    if not _is_text(column):
        return _numbers(path, column, name).unsqueeze(1)
    codes, levels = _integer_codes(column)
    if levels > MOST_LEVELS:
        got = f"{levels} different texts in {name}"
        raise _table_error(path, got, f"at most {MOST_LEVELS} can be inputs: leave the column out")
    return torch.nn.functional.one_hot(codes, levels).double()


def _target_columns(path: Path, table: Any, names: list[str]) -> tuple[Tensor, int | None]:
    if len(names) == 1 and _are_classes(table[names[0]]):
        return _integer_codes(table[names[0]])
    return torch.stack([_numbers(path, table[name], name) for name in names], dim=1), None


def _are_classes(column: Any) -> bool:
    import pyarrow.types as kinds

    if kinds.is_integer(column.type):
        return len(column.unique()) <= MOST_CLASSES
    return _is_text(column) or kinds.is_boolean(column.type)


def _integer_codes(column: Any) -> tuple[Tensor, int]:
    """Return the index of each value among the sorted distinct values, and the number of these."""
    values = column.to_pylist()
    index = {value: position for position, value in enumerate(sorted(set(values)))}
    return torch.tensor([index[value] for value in values]), len(index)


def _numbers(path: Path, column: Any, name: str) -> Tensor:
    import pyarrow.types as kinds

    if not (kinds.is_integer(column.type) or kinds.is_boolean(column.type) or _is_float(column)):
        hint = "give numbers, booleans or texts"
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
