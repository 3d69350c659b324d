"""The user's own tables: CSV and Parquet files, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.readers.data_files import damaged
from hinged.lab.data.splits import Splits, divided, table_about

ENDINGS = (".csv", ".parquet")
MOST_LEVELS = 100
"""Most different texts of a column that is made into indicators."""
MOST_CLASSES = 20
"""Most different whole numbers of a target that count as classes."""


def read(path: Path, targets: str | None = None) -> Splits:
    """Return a table, 30 % of it to test on.

    A column of numbers or truth values is one input; a column of texts is one input of 0 and 1 for
    each text it holds. A target of texts, truth values, or at most 20 different whole numbers means
    classes; others are numbers to predict.

    Args:
        path: the CSV file, with a line of names, or the Parquet file.
        targets: the columns to predict, comma-separated; the last one by default.

    Raises:
        DataError: the file cannot be read, a column is missing, not finite, or of another kind.
    """
    if not path.is_file():
        raise _fault(path, "no such file", "give a table that exists, from the folder you are in")
    table = _table(path)
    names = [name.strip() for name in targets.split(",")] if targets else table.column_names[-1:]
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        hint = f"the columns are {', '.join(table.column_names)}"
        raise _fault(path, f"no column {', '.join(unknown)}", hint)
    _refuse_gaps(path, table)
    inputs = [name for name in table.column_names if name not in names]
    if not inputs:
        raise _fault(path, "no column to predict from", "give the inputs in other columns")
    x = torch.cat([_inputs(path, table, name) for name in inputs], dim=1)
    y, classes = _targets(path, table, names)
    return divided(table_about(x, y, classes), x, y, classes)


def _table(path: Path) -> Any:
    errors.require_extra("tables", ("pyarrow",))
    import pyarrow
    from pyarrow import csv, parquet

    try:
        read = csv.read_csv if path.suffix.lower() == ".csv" else parquet.read_table
        table = read(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(path, error) from None
    if not table.num_rows:
        raise _fault(path, "a table without rows", "give at least 2")
    return table.combine_chunks()


def _refuse_gaps(path: Path, table: Any) -> None:
    """Raise where a column has an empty place, NaN or infinity."""
    import pyarrow.compute as pc

    def whole(column: Any) -> bool:
        if column.null_count:
            return False
        return not _is_float(column) or pc.all(pc.is_finite(column)).as_py()

    bad = [name for name in table.column_names if not whole(table[name])]
    if bad:
        got = f"empty or infinite values in {', '.join(bad[:5])}"
        raise _fault(path, got, "fill them or leave these columns or rows out")


def _inputs(path: Path, table: Any, name: str) -> Tensor:
    """Return a column as `(N, 1)`, or `(N, levels)` where it holds texts."""
    column = table[name]
    if not _is_text(column):
        return _numbers(path, column, name).unsqueeze(1)
    codes, levels = _coded(column)
    if levels > MOST_LEVELS:
        got = f"{levels} different texts in {name}"
        raise _fault(path, got, f"at most {MOST_LEVELS} can be inputs: leave the column out")
    return torch.nn.functional.one_hot(codes, levels).double()


def _targets(path: Path, table: Any, names: list[str]) -> tuple[Tensor, int | None]:
    if len(names) == 1 and _are_classes(table[names[0]]):
        return _coded(table[names[0]])
    return torch.stack([_numbers(path, table[name], name) for name in names], dim=1), None


def _are_classes(column: Any) -> bool:
    import pyarrow.types as kinds

    if kinds.is_integer(column.type):
        return len(column.unique()) <= MOST_CLASSES
    return _is_text(column) or kinds.is_boolean(column.type)


def _coded(column: Any) -> tuple[Tensor, int]:
    """Return the place of each value among the sorted different ones, and how many these are."""
    values = column.to_pylist()
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    return torch.tensor([places[value] for value in values]), len(places)


def _numbers(path: Path, column: Any, name: str) -> Tensor:
    import pyarrow.types as kinds

    if not (kinds.is_integer(column.type) or kinds.is_boolean(column.type) or _is_float(column)):
        hint = "give numbers, truth values or texts"
        raise _fault(path, f"column {name} of type {column.type}", hint)
    return torch.tensor(column.to_pylist(), dtype=torch.float64)


def _is_float(column: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_floating(column.type))


def _is_text(column: Any) -> bool:
    import pyarrow.types as kinds

    text = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    return bool(kinds.is_string(text) or kinds.is_large_string(text))


def _fault(path: Path, got: str, hint: str) -> errors.DataError:
    return errors.DataError(errors.message(f"--data {path}", got, hint))
