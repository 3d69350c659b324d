"""Columns of a table: what each of them contains, and its values as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hinged import errors
from hinged.lab.data.tables.dates import Dates, date_parts, date_readings, to_dates

MOST_LEVELS = 100
"""Largest number of inputs for one column of texts."""
_FEWEST_IDENTIFIERS = 20
"""A column of texts with at most this number of different texts is never an identifier."""
_IDENTIFIER = re.compile(r"(?i:(^|_)(id|idx|index|key|uuid)$)|[a-z]I[dD]$")
"""Names of columns of whole numbers that are identifiers if no number occurs twice."""

_LARGEST = 1e37
"""The largest size of a number. Networks compute in float32, which ends at 3.4e38."""
_PLAIN_NUMBER = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
_OTHER_NUMBER = re.compile(r"[^\w\s<>≤≥~]*\s?\d+([.,'\s]\d{3})*([.,]\d+)?\s?[^\w\s+]?")
"""A number with a sign such as `$` or `%`, or with commas, for example `1.234,50`."""

Kind = Literal["numbers", "texts", "dates", "left out"]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Attributes:
        name: its name.
        kind: what it contains; `left out` if it is no input.
        values: numbers `(N, P)`, with NaN where a row has no value. For numbers, `P` is 1. For
            texts, `P` is 1: the index of the text in the sorted list of all texts, where a missing
            text is an empty text. For dates, `P` is the number of their parts. For a column that is
            left out, `P` is 0.
        missing: number of rows without a value.
        levels: number of different texts, with the empty text; 0 for numbers and dates.
        remark: a sentence about this column without its name; empty if there is nothing to say.
        warns: whether the remark is a warning.
    """

    name: str
    kind: Kind
    values: NDArray[np.float64]
    missing: int = 0
    levels: int = 0
    remark: str = ""
    warns: bool = False

    @property
    def width(self) -> int:
        """Return the largest number of inputs that the column can become."""
        if self.kind == "texts":
            return min(self.levels, MOST_LEVELS)
        return int(self.values.shape[1]) + (self.missing > 0)


def read_column(call: str, name: str, column: Any) -> Column:
    """Find out what an input column contains, and return it.

    Args:
        call: name of the data in error messages.
        name: name of the column.
        column: the column, a `pyarrow.ChunkedArray`.

    Raises:
        DataError: if a number is infinite, or if the column contains neither numbers, booleans,
            texts, dates nor times.
    """
    import pyarrow.types as kinds

    if column.null_count == len(column):
        return _left_out(name, len(column), "no row has a value")
    if is_text(column):
        return _read_texts(name, column)
    if kinds.is_temporal(column.type) and not kinds.is_duration(column.type):
        return _read_dates(name, to_dates(column))
    return _read_numbers(name, read_numbers(call, name, column))


def read_numbers(call: str, name: str, column: Any) -> NDArray[np.float64]:
    """Return a column of numbers or booleans in float64, `(N,)`, with NaN where values are missing.

    Args:
        call: name of the data in error messages.
        name: name of the column.
        column: the column, a `pyarrow.ChunkedArray`.

    Raises:
        DataError: if the column contains something else, infinity, or a number beyond 1e37.
    """
    import pyarrow
    import pyarrow.types as kinds

    if kinds.is_boolean(column.type):
        column = column.cast(pyarrow.int8())
    elif kinds.is_decimal(column.type):
        column = column.cast(pyarrow.float64())
    if not (kinds.is_integer(column.type) or kinds.is_floating(column.type)):
        hint = "use numbers, booleans, texts or dates, or leave the column out: `table.leave_out`"
        if kinds.is_binary(column.type):
            hint = "save the file again with the encoding UTF-8"
        raise _type_error(call, name, column, hint)
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        got = f"infinite values in {name}, the first in row {infinite[0] + 1} of the data"
        raise errors.DataError(
            errors.message(call, got, "replace these values, or remove the columns or rows")
        )
    large = np.flatnonzero(np.abs(values) > _LARGEST)
    if len(large):
        got = f"{values[large[0]]:g} in {name}, in row {large[0] + 1} of the data"
        hint = f"change the unit of the column: networks compute in float32, up to {_LARGEST:g}"
        raise errors.DataError(errors.message(call, got, hint))
    return values


def check_single_values(call: str, name: str, column: Any) -> None:
    """Raise a `DataError` if the values of a pyarrow column are lists or records."""
    import pyarrow.types as kinds

    if kinds.is_nested(column.type):
        raise _type_error(call, name, column, "use a column of numbers, booleans, texts or dates")


def _type_error(call: str, name: str, column: Any, hint: str) -> errors.DataError:
    return errors.DataError(errors.message(call, f"a column {name!r} of type {column.type}", hint))


def is_text(column: Any) -> bool:
    """Return whether a pyarrow column, or a field of a schema, contains texts."""
    import pyarrow.types as kinds

    text = column.type.value_type if kinds.is_dictionary(column.type) else column.type
    return bool(kinds.is_string(text) or kinds.is_large_string(text) or kinds.is_string_view(text))


def missing_rows(column: Any) -> NDArray[np.int64]:
    """Return the indices of the rows in which a pyarrow column has no value, NaN or infinity.

    A text without any character but spaces is no value.
    """
    import pyarrow.compute as pc
    import pyarrow.types as kinds

    if is_text(column):
        codes, levels = number_levels(column)
        return np.flatnonzero(codes == 0) if "" in levels else np.empty(0, dtype=np.int64)
    if kinds.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    return np.flatnonzero(column.is_null().to_numpy())


def number_levels(column: Any) -> tuple[NDArray[np.int64], list[Any]]:
    """Number the different values of a pyarrow column.

    Spaces around texts do not count. A missing text is an empty text. Values that a dictionary of
    Parquet names and no row has do not count either.

    Args:
        column: texts, or other values without missing values.

    Returns:
        The index of each value in the sorted list of different values, `(N,)`, and this list.
    """
    encoded = column.combine_chunks().dictionary_encode()
    known = [
        each.strip() if isinstance(each, str) else each for each in encoded.dictionary.to_pylist()
    ]
    rows = encoded.indices.fill_null(len(known)).to_numpy().astype(np.int64)
    used, rows = np.unique(rows, return_inverse=True)
    found = [*known, ""]
    values = [found[place] for place in used]
    levels = sorted(set(values))
    index = {value: position for position, value in enumerate(levels)}
    positions = np.array([index[value] for value in values], dtype=np.int64)
    return positions[rows], levels


def _read_numbers(name: str, values: NDArray[np.float64]) -> Column:
    is_missing = np.isnan(values)
    known, missing = values[~is_missing], int(is_missing.sum())
    if not len(known):
        return _left_out(name, len(values), "no row has a value")
    remark = ""
    if not missing and (known == known[0]).all():
        remark = f"always {known[0]:g}, so it has no influence"
    looks = "" if missing else _why_identifier(name, known)
    if looks:
        remark = (
            f"{looks}, so it looks like an identifier, and is used as a number all the same "
            f"(--leave-out {name} leaves it out)"
        )
    return Column(name, "numbers", values[:, None], missing, 0, remark, warns=bool(looks))


def _why_identifier(name: str, values: NDArray[np.float64]) -> str:
    """Return why numbers look like an identifier; empty if they do not."""
    if len(values) <= _FEWEST_IDENTIFIERS or (values != np.floor(values)).any():
        return ""
    if (np.diff(values) == 1).all():
        return "whole numbers that count the rows"
    if (np.diff(values) > 0).all():
        return "whole numbers that rise from row to row"
    if _IDENTIFIER.search(name) and len(np.unique(values)) == len(values):
        return "another whole number in every row"
    return ""


def _read_texts(name: str, column: Any) -> Column:
    codes, levels = number_levels(column)
    texts = [text for text in levels if text]
    missing = int((codes == 0).sum()) if "" in levels else 0
    rows, known = len(codes), len(codes) - missing
    if not texts:
        return _left_out(name, rows, "no row has a value")
    if len(levels) == 1:
        return _left_out(name, rows, f"always {errors.shown(texts[0])}")
    readings = date_readings(levels)
    if len(readings) == 1:
        return _read_dates(name, readings[0][codes])
    if readings:
        return _left_out(name, rows, _remark_on_ambiguous_dates(levels, readings[0]), warns=True)
    if len(texts) > _FEWEST_IDENTIFIERS and len(texts) > known / 2:
        remark = why_no_numbers(texts) or (
            f"{len(texts):,} different texts in {known:,} rows, such as {errors.shown(texts[0])}, "
            "so it looks like an identifier: left out"
        )
        return _left_out(name, rows, remark, warns=True)
    values = codes[:, None].astype(np.float64)
    other = other_form(texts)
    remark = _remark_on_numbers(other) if other else ""
    if not other and len(levels) > MOST_LEVELS:
        remark = (
            f"{len(texts):,} different texts. The {MOST_LEVELS - 1} most frequent have an input "
            "each, and all others share one"
        )
    return Column(name, "texts", values, missing, len(levels), remark, warns=bool(other))


def _remark_on_ambiguous_dates(texts: Sequence[str], dates: Dates) -> str:
    first = np.flatnonzero(~np.isnat(dates))[0]
    return (
        f"dates that can be read in two ways, such as {texts[first]}: left out. Write them as "
        f"{_day(dates[first])} to use them"
    )


def _remark_on_numbers(text: str) -> str:
    return (
        f"numbers in another form, such as {errors.shown(text)}, which are used as texts. "
        "Write them like 1234.5 to use them as numbers"
    )


def other_form(texts: Sequence[str]) -> str:
    """Return the first text that is a number in another form, such as `0,5`.

    It is empty if fewer than half of the texts that are no plain numbers have such a form.

    >>> other_form(["1", "1,5", "2"]), other_form(["red", "blue", "0,5"])
    ('1,5', '')
    """
    others = [text for text in texts if not _PLAIN_NUMBER.fullmatch(text)]
    odd = [text for text in others if _OTHER_NUMBER.fullmatch(text)]
    return odd[0] if odd and len(odd) >= len(others) / 2 else ""


def why_no_numbers(texts: Sequence[str]) -> str:
    """Return why texts that are meant as numbers are none, and what to do.

    The sentence is empty if fewer than half of the texts are meant as numbers.

    >>> why_no_numbers(["0,5", "1,5"])
    "numbers in another form, such as '0,5': left out. Write them like 1234.5 to use them"
    >>> why_no_numbers(["red", "blue", "0,5"])
    ''
    """
    others = [text for text in texts if not _PLAIN_NUMBER.fullmatch(text)]
    if not others:
        return (
            f"numbers that are stored as texts, such as {errors.shown(texts[0])}: left out. Store "
            "them as numbers to use them"
        )
    other = other_form(others)
    if other:
        return (
            f"numbers in another form, such as {errors.shown(other)}: left out. Write them like "
            "1234.5 to use them"
        )
    if len(others) <= len(texts) / 2:
        return (
            f"numbers, and texts such as {errors.shown(others[0])}: left out. Make these texts "
            "empty to use the numbers"
        )
    return ""


def _read_dates(name: str, dates: Dates) -> Column:
    is_missing = np.isnat(dates)
    known = dates[~is_missing]
    if (known == known[0]).all() and not is_missing.any():
        return _left_out(name, len(dates), f"always {_day(known[0])}")
    return Column(name, "dates", date_parts(dates), int(is_missing.sum()))


def _day(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))


def _left_out(name: str, rows: int, remark: str, *, warns: bool = False) -> Column:
    if "left out" not in remark:
        remark += ": left out"
    return Column(name, "left out", np.empty((rows, 0)), remark=remark, warns=warns)
