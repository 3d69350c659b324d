"""Reader of the user's tables: CSV and Parquet files, read with pyarrow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hinged import errors
from hinged.lab.data.readers.data_files import explain_damage
from hinged.lab.data.tables.columns import Column, is_text, other_form, read_column
from hinged.lab.data.tables.division_column import read_division
from hinged.lab.data.tables.leaking_columns import warn_of_leaks
from hinged.lab.data.tables.missing_marks import missing_marks
from hinged.lab.data.tables.table_notes import TableNotes, describe_columns, listed
from hinged.lab.data.tables.table_rows import RawTable
from hinged.lab.data.tables.targets import read_targets
from hinged.lab.data.train_test_split import (
    TrainTestSplit,
    describe_table,
    encode_table,
    split_at_random,
)
from hinged.lab.experiment.settings import TableSettings

SUFFIXES = (".csv", ".parquet")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
"""The characters that may separate the columns of a CSV file, and what they are called."""
_DECIMAL_COMMA = re.compile(r"[-+]?\d[\d.]*,\d+")
_FLOAT = 8
MOST_BYTES = 2**32
"""Largest size of a CSV file, and of all inputs and targets as numbers in float64: 4 GiB."""
_LONGEST_HEADER = 2**20
"""Number of characters in which the header line of a CSV file is searched for its delimiter."""
_BEGINNING = 1_000
"""Number of bytes in which a file that is not empty has a character."""
_DEFAULTS = TableSettings()


def read_csv_or_parquet(
    path: Path, targets: str | None = None, settings: TableSettings = _DEFAULTS
) -> TrainTestSplit:
    """Read a table as a data set. The test split contains 30 % of the rows.

    An input column of numbers or booleans is one input, of texts one-hot encoded, and of dates
    several inputs. Missing values are replaced by the median of the training rows, and marked.
    Columns that no network can use are left out. A single target column of texts, booleans, or at
    most 20 different integers makes a classification. All other target columns make a regression.

    Args:
        path: path of a CSV file with a header line, or of a Parquet file. The columns of a CSV file
            are separated by the character in `DELIMITERS` that is most frequent in the header line.
        targets: names of the target columns, separated by commas. None takes the last column.
        settings: the task, how rows are divided, and columns to leave out.

    Raises:
        DataError: if the file cannot be read, if it needs more than `MOST_BYTES` bytes, if two
            columns have one name, if a named column does not exist, if no input column remains, if
            there are fewer than 2 rows, if numbers between semicolons have decimal commas, if a
            column has another type, if a value is infinite, or if a target is missing or always the
            same.
        ArgumentError: if the rows cannot be divided by the column that `settings` names.
        MissingExtraError: if pyarrow is not installed.
    """
    if not path.is_file():
        raise _table_error(
            path, "a file that does not exist", "give a path relative to the current folder"
        )
    with explain_damage(path):
        raw = _describe_table(path, _load_table(path), targets, settings)
        if not raw.is_plain:
            return encode_table(raw.divide())
        x, y, classes = torch.from_numpy(raw.values()), raw.y, raw.problem.classes
        split = split_at_random(describe_table(x, y, classes), x, y, classes)
        return replace(split, problem=raw.problem, notes=raw.notes)


def _describe_table(
    path: Path, table: Any, targets: str | None, settings: TableSettings
) -> RawTable:
    """Return the input columns, the targets and the division of a table."""
    call = f"data {path}"
    names = _target_names(table.column_names, targets)
    _check_names(path, table, "target columns", names)
    _check_names(path, table, "columns to leave out", settings.leave_out)
    found = read_targets(call, table, names, settings.task)
    division = read_division(call, table, names, settings.split)
    unused = {*names, *settings.leave_out}
    inputs = [name for name in table.column_names if name not in unused]
    _check_size(path, len(table) * max(1, len(inputs)))
    columns = [
        division.column
        if division is not None and name == division.column.name
        else read_column(call, name, table[name])
        for name in inputs
    ]
    _check_inputs(path, columns)
    _check_size(path, len(table) * sum(column.width for column in columns))
    said = describe_columns(columns, settings.leave_out)
    warnings = (*_warn_of_header(table), *said.warnings, *warn_of_leaks(columns, found.y, names))
    notes = TableNotes((found.note, *said.found), warnings)
    rule = None if division is None else division.division
    return RawTable(tuple(columns), found.y, found.problem, rule, notes)


def _target_names(columns: list[str], targets: str | None) -> list[str]:
    """Return the target columns: all that are named, or one with a comma in its name."""
    if not targets:
        return columns[-1:]
    return [targets] if targets in columns else [name.strip() for name in targets.split(",")]


def _warn_of_header(table: Any) -> Iterator[str]:
    """Yield a sentence if all names of columns are numbers, so that they may be data."""
    if all(re.fullmatch(r"[-+]?\d*\.?\d*", name) for name in table.column_names):
        yield (
            f"The names of the columns are numbers ({listed(table.column_names)}). If they are the "
            "first row of the data, add a header line to the file."
        )


def _check_names(path: Path, table: Any, what: str, names: Iterable[str]) -> None:
    """Raise an error if the table has no columns of these names."""
    unknown = [name for name in names if name not in table.column_names]
    if unknown:
        hint = f"the columns are {', '.join(table.column_names)}"
        raise _table_error(path, f"{what} that do not exist: {', '.join(unknown)}", hint)


def _check_inputs(path: Path, columns: list[Column]) -> None:
    """Raise an error if no column can be an input."""
    if all(column.kind == "left out" for column in columns):
        hint = "add a column that is not a target, or leave out fewer columns"
        if columns:
            hint = f"all others are left out: {listed(f'{c.name} ({c.remark})' for c in columns)}"
        raise _table_error(path, "no input columns", hint)


def _load_table(path: Path) -> Any:
    errors.require_extra("tables", ("pyarrow",))
    import pyarrow
    from pyarrow import csv, parquet

    try:
        is_csv = path.suffix.lower() == ".csv"
        table = _load_csv(path, csv) if is_csv else _load_parquet(path, parquet)
    except (pyarrow.ArrowException, OSError) as error:
        _check_not_empty(path)
        _check_row_lengths(path, error)
        raise
    names = [
        name.strip() or f"column{place}" for place, name in enumerate(table.column_names, start=1)
    ]
    table = table.rename_columns(names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        hint = "give each column another name"
        raise _table_error(path, f"several columns of one name: {', '.join(repeated[:5])}", hint)
    if table.num_rows < 2:
        rows = f"a table {'with 1 row' if table.num_rows else 'without rows'}"
        raise _table_error(path, rows, "add at least 2 rows")
    return table.combine_chunks()


def _load_csv(path: Path, csv: Any) -> Any:
    _check_size(path, path.stat().st_size // _FLOAT)
    delimiter = _find_delimiter(path)
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=csv.ConvertOptions(null_values=missing_marks()),
    )
    if delimiter != ",":
        _check_decimal_commas(path, table)
    return table


def _find_delimiter(path: Path) -> str:
    """Return the character in `DELIMITERS` that is most frequent outside quotes in the header line
    of a CSV file; a comma if there is none."""
    with path.open(encoding="utf-8", errors="replace") as file:
        header, _, _ = file.read(_LONGEST_HEADER).lstrip("\n").partition("\n")
    return max(DELIMITERS, key=re.sub('"[^"]*"', "", header).count)


def _check_decimal_commas(path: Path, table: Any) -> None:
    """Raise an error if a column of a table contains numbers such as `1,5`."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if is_text(column):
            texts = column.unique().drop_null().to_pylist()
            number = other_form([text.strip() for text in texts])
            if _DECIMAL_COMMA.fullmatch(number):
                got = f"decimal commas in column {name!r}, such as {number!r}"
                raise _table_error(path, got, "save the file with points in the numbers")


def _load_parquet(path: Path, parquet: Any) -> Any:
    """Read a Parquet file after checking its size. Texts are not repeated in memory."""
    with parquet.ParquetFile(path) as file:
        _check_size(path, file.metadata.num_rows * file.metadata.num_columns)
        columns = file.schema_arrow
    texts = [each.name for each in columns if is_text(each)]
    return parquet.read_table(path, read_dictionary=texts)


def _check_size(path: Path, numbers: int) -> None:
    """Raise an error if a table with this many numbers needs more than `MOST_BYTES` bytes."""
    if numbers * _FLOAT > MOST_BYTES:
        got = f"a table of {numbers * _FLOAT / 2**30:,.1f} GiB"
        hint = f"at most {MOST_BYTES / 2**30:g} GiB are allowed: take fewer rows or columns"
        raise _table_error(path, got, hint)


def _check_not_empty(path: Path) -> None:
    """Raise an error if a file contains nothing but spaces and line breaks."""
    with path.open("rb") as file:
        if not file.read(_BEGINNING).strip():
            hint = "expected a header line with the names of the columns, and rows"
            raise _table_error(path, "an empty file", hint)


def _check_row_lengths(path: Path, error: Exception) -> None:
    """Raise an error if pyarrow found a row of a CSV file with too many or too few values."""
    found = re.search(r"Expected (\d+) columns, got (\d+): (.*)", str(error))
    if found:
        expected, values, row = found.groups()
        got = f"a row with {values} values for {expected} columns: {errors.shown(row)}"
        marks = DELIMITERS[_find_delimiter(path)]
        hint = f"give every row a value for each column, and put texts with {marks} in quotes"
        raise _table_error(path, got, hint)


def _table_error(path: Path, got: str, hint: str) -> errors.DataError:
    return errors.DataError(errors.message(f"data {path}", got, hint))
