"""Reader of the user's tables: CSV and Parquet files, read with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.readers.data_files import explain_damage
from hinged.lab.data.train_test_split import TrainTestSplit, describe_table, split_at_random

SUFFIXES = (".csv", ".parquet")
_FLOAT = 8
MOST_LEVELS = 100
"""Largest number of different texts in an input column."""
MOST_CLASSES = 20
"""Largest number of different integers in a target column that is treated as classes."""
MOST_BYTES = 2**32
"""Largest size of a CSV file, and of all inputs and targets as numbers in float64: 4 GiB."""


def read_csv_or_parquet(path: Path, targets: str | None = None) -> TrainTestSplit:
    """Read a table as a data set. The test split contains 30 % of the rows.

    An input column of numbers or booleans is one input. An input column of texts is one-hot
    encoded. A single target column of texts, booleans, or at most 20 different integers makes a
    classification. All other target columns make a regression.

    Args:
        path: path of a CSV file with a header line, or of a Parquet file.
        targets: names of the target columns, separated by commas. None takes the last column.

    Raises:
        DataError: if the file cannot be read, if it needs more than `MOST_BYTES` bytes, if two
            columns have one name, if a target column does not exist, if no input column remains, if
            there are fewer than 2 rows, if a column has another type, or if a value is empty or not
            finite.
        MissingExtraError: if pyarrow is not installed.
    """
    if not path.is_file():
        raise _table_error(
            path, "a file that does not exist", "give a path relative to the current folder"
        )
    with explain_damage(path):
        return _split_table(path, _load_table(path), targets)


def _split_table(path: Path, table: Any, targets: str | None) -> TrainTestSplit:
    names = [name.strip() for name in targets.split(",")] if targets else table.column_names[-1:]
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        hint = f"the columns are {', '.join(table.column_names)}"
        raise _table_error(path, f"target columns that do not exist: {', '.join(unknown)}", hint)
    _check_values(path, table)
    inputs = [name for name in table.column_names if name not in names]
    if not inputs:
        raise _table_error(path, "no input columns", "add a column that is not a target")
    _check_size(path, len(table) * len(inputs))
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
        if path.suffix.lower() == ".csv":
            _check_size(path, path.stat().st_size // _FLOAT)
            table = csv.read_csv(path)
        else:
            table = _load_parquet(path, parquet)
    except (pyarrow.ArrowException, OSError):
        _check_separator(path)
        raise
    names = table.column_names
    if len(names) == 1:
        _check_separator(path)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        hint = "give each column another name"
        raise _table_error(path, f"several columns of one name: {', '.join(repeated[:5])}", hint)
    if table.num_rows < 2:
        rows = f"a table {'with 1 row' if table.num_rows else 'without rows'}"
        raise _table_error(path, rows, "add at least 2 rows")
    return table.combine_chunks()


def _load_parquet(path: Path, parquet: Any) -> Any:
    """Read a Parquet file after checking its size. Texts are not repeated in memory."""
    with parquet.ParquetFile(path) as file:
        _check_size(path, file.metadata.num_rows * file.metadata.num_columns)
        columns = file.schema_arrow
    texts = [each.name for each in columns if _is_text(each)]
    return parquet.read_table(path, read_dictionary=texts)


def _check_size(path: Path, numbers: int) -> None:
    """Raise an error if a table with this many numbers needs more than `MOST_BYTES` bytes."""
    if numbers * _FLOAT > MOST_BYTES:
        got = f"a table of {numbers * _FLOAT / 2**30:,.1f} GiB"
        hint = f"at most {MOST_BYTES / 2**30:g} GiB are allowed: take fewer rows or columns"
        raise _table_error(path, got, hint)


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
    _check_size(path, len(codes) * len(levels))
    encoded = torch.zeros(len(codes), len(levels), dtype=torch.float64)
    return encoded.scatter_(1, codes.unsqueeze(1), 1.0)


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
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    levels = sorted(set(found))
    index = {value: position for position, value in enumerate(levels)}
    positions = torch.tensor([index[value] for value in found])
    return positions[torch.from_numpy(encoded.indices.to_numpy().astype(np.int64))], levels


def _numbers(path: Path, column: Any, name: str) -> Tensor:
    import pyarrow.types as kinds

    if not (kinds.is_integer(column.type) or kinds.is_boolean(column.type) or _is_float(column)):
        hint = "use numbers or booleans; texts can be inputs or the only target"
        raise _table_error(path, f"column {name} of type {column.type}", hint)
    return torch.from_numpy(column.to_numpy().astype(np.float64))


def _is_float(column: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_floating(column.type))


def _is_text(column: Any) -> bool:
    """Whether a column, or a field of a schema, contains texts."""
    import pyarrow.types as kinds

    text = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    return bool(kinds.is_string(text) or kinds.is_large_string(text))


def _table_error(path: Path, got: str, hint: str) -> errors.DataError:
    return errors.DataError(errors.message(f"data {path}", got, hint))
