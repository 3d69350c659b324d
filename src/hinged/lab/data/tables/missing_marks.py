"""Texts that mark a missing number or date."""

from __future__ import annotations


def missing_marks() -> list[str]:
    """Return the texts that mark a missing number or date: those that pyarrow knows, and others.

    >>> {"", "NA", "nan", "?", "-", "None"} <= set(missing_marks())
    True
    """
    from pyarrow import csv

    return [*csv.ConvertOptions().null_values, "?", "-", "None", "none"]
