"""Dates in tables: texts that are dates, and the numbers that a network gets for a date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hinged.lab.data.tables.missing_marks import missing_marks

Dates = NDArray[np.datetime64]
"""Dates to the microsecond, `(N,)`, with NaT where there is no date."""

_YEAR_FIRST, _YEAR_LAST = r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}", r"\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
_DATE = rf"^({_YEAR_FIRST}|{_YEAR_LAST})([ T]\d{{1,2}}:\d{{2}}(:\d{{2}})?)?$"
_ORDERS = ("%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S")
_DAY = 86_400_000_000
"""Length of a day in microseconds."""
_YEAR = 365.2425
"""Mean length of a year in days."""
_THURSDAY = 4
"""Weekday of day 0, 1 January 1970, counted from Sunday."""


def date_readings(texts: Sequence[str]) -> list[Dates]:
    """Return all ways in which texts can be read as dates. There is none if a text is no date.

    A text that marks a missing value, such as `NA` or an empty text, becomes NaT.
    The year has four digits. Year, month and day are separated by `-`, `/` or `.`, and a time may
    follow. `02/03/2020` can be read in two ways, but `02.03.2020` has the day first.

    >>> [len(date_readings([text])) for text in ("2020-02-03", "02/03/2020", "02.03.2020", "red")]
    [1, 2, 1, 0]
    """
    import pyarrow
    import pyarrow.compute as pc

    column = pyarrow.array(texts, pyarrow.string())
    is_missing = pc.is_in(column, pyarrow.array(missing_marks()))
    column = pc.if_else(is_missing, None, column)
    missing = column.null_count
    if missing == len(texts) or not pc.all(pc.match_substring_regex(column, _DATE)).as_py():
        return []
    orders = _ORDERS[:2] if pc.any(pc.match_substring(column, ".")).as_py() else _ORDERS
    column = pc.replace_substring(pc.replace_substring_regex(column, "[/.]", "-"), "T", " ")
    found: list[Dates] = []
    for order in orders:
        for time in _TIMES:
            parsed = pc.strptime(column, format=order + time, unit="s", error_is_null=True)
            if parsed.null_count == missing and _has_days(parsed, column, order):
                dates = to_dates(parsed)
                same = (np.array_equal(dates, each, equal_nan=True) for each in found)
                found += [dates] * (not any(same))
    return found


def _has_days(parsed: Any, texts: Any, order: str) -> bool:
    """Return whether parsed dates have the days in their texts: 30 February becomes 1 March."""
    import pyarrow.compute as pc

    numbers = pc.split_pattern(pc.replace_substring_regex(texts, " .*", ""), "-")
    days = pc.list_element(numbers, order.split("-").index("%d"))
    return bool(pc.all(pc.equal(pc.day(parsed), days.cast("int64"))).as_py())


def to_dates(column: Any) -> Dates:
    """Return a pyarrow column of dates, or of times of day, as an array.

    Dates with a time zone become those of UTC. A time of day becomes that of 1 January 1970.
    """
    import pyarrow
    import pyarrow.types as kinds

    if kinds.is_time(column.type):
        microseconds = column.cast(pyarrow.time64("us"), safe=False).cast(pyarrow.int64())
        column = microseconds.cast(pyarrow.timestamp("us"))
    dates: Dates = np.asarray(column.to_numpy(zero_copy_only=False)).astype("datetime64[us]")
    return dates


def date_parts(dates: Dates) -> NDArray[np.float64]:
    """Return the numbers that a network gets for dates: the day, and the position in each cycle.

    The day is the number of days since 1 January 1970, with decimals. The cycles are the year, the
    week and the day, each as a sine and a cosine, so that its end is next to its start. A cycle is
    left out if all dates have the same position in it.

    Args:
        dates: the dates, `(N,)`.

    Returns:
        Numbers `(N, P)`, with NaN where there is no date. `P` is 1, 3, 5 or 7.

    >>> date_parts(np.array(["2024-01-01", "2024-01-02"], "datetime64[s]")).shape
    (2, 5)
    """
    missing = np.isnat(dates)
    dates = dates.astype("datetime64[us]")
    days = np.where(missing, np.nan, dates.astype(np.int64)) / _DAY
    start_of_year = dates.astype("datetime64[Y]").astype(dates.dtype).astype(np.int64) / _DAY
    whole_days = np.floor(days)
    cycles = (
        (whole_days - start_of_year) / _YEAR,
        (whole_days + _THURSDAY) % 7 / 7,
        days - whole_days,
    )
    parts = [days]
    for cycle in cycles:
        known = cycle[~missing]
        if len(known) and (known != known[0]).any():
            angle = 2 * np.pi * cycle
            parts += [np.sin(angle), np.cos(angle)]
    return np.stack(parts, axis=1)
