"""The words for a difference in what a study measures, for example in accuracy or in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hinged.lab.study.outcome_measures import MEASURES
from hinged.lab.study.record import StudyRecord


class MeasureWords(NamedTuple):
    """The words for a measure in sentences about curves.

    Attributes:
        better: predicate of curves that are better than a rival, without the rival's name.
        worse: predicate of curves that are worse than a rival.
        ahead: predicate of curves whose mean is better, whether or not this is significant.
        amount: a function that returns the words for a range of differences, for example
            `1.8 to 4.3 points of accuracy`.
    """

    better: str
    worse: str
    ahead: str
    amount: Callable[[Sequence[float]], str]


def words_for(record: StudyRecord) -> MeasureWords:
    """Return the words for the measure of a record."""
    words: dict[str, MeasureWords] = {
        "gap": MeasureWords(
            "have a smaller gap between training and test scores than",
            "have a larger gap between training and test scores than",
            "have a smaller gap between training and test scores than",
            lambda values: _points(record, values, " points"),
        ),
        "log_error": MeasureWords(
            "have smaller test errors than",
            "have larger test errors than",
            "have smaller test errors than",
            lambda values: f"a factor of {number_range([10**value for value in values], 1)}",
        ),
        "dead": MeasureWords(
            "have fewer dead units than",
            "have more dead units than",
            "have fewer dead units than",
            lambda values: _points(record, values, " points"),
        ),
        "step_ms": MeasureWords(
            "need less time for a training step than",
            "need more time for a training step than",
            "need less time for a training step than",
            lambda values: f"{number_range(values, 1)} ms",
        ),
    }
    unit = " points of " if record.in_percent else " in "
    score = MeasureWords(
        "beat",
        "are worse than",
        "are better than",
        lambda values: _points(record, values, f"{unit}{record.metric}"),
    )
    return words.get(measure_of(record), score)


def measure_of(record: StudyRecord) -> str:
    """Return the name of a record's measure in `MEASURES`."""
    for name, measure in MEASURES.items():
        if record.measure == measure.about.format(metric=record.metric):
            return name
    return "score"


def _points(record: StudyRecord, values: Sequence[float], unit: str) -> str:
    scale, decimals = (100, 1) if record.in_percent else (1, 3)
    return f"{number_range([scale * value for value in values], decimals)}{unit}"


def number_range(values: Sequence[float], decimals: int) -> str:
    """Return the range of values as text, with more decimals if the smallest would be 0.

    >>> number_range([1.84, 4.29], 1), number_range([0.02, 1.5], 1), number_range([2.0], 1)
    ('1.8 to 4.3', '0.02 to 1.50', '2.0')
    """
    low, high = min(values), max(values)
    for more in range(decimals, decimals + 4):
        first, last = f"{low:,.{more}f}", f"{high:,.{more}f}"
        if low == 0 or float(first.replace(",", "")) != 0:
            break
    return first if first == last else f"{first} to {last}"


def mean_differences(record: StudyRecord, values: Sequence[float]) -> str:
    """Return a sentence about the range of mean differences."""
    if measure_of(record) == "log_error":
        return f"On average, there are {signed_range(record, values)}."
    return f"Mean differences in {record.measure}: {signed_range(record, values)}."


def signed_range(record: StudyRecord, values: Sequence[float]) -> str:
    """Return a range of differences with signs, for example `-0.3 to +1.2 points`.

    For logarithms of errors, it is a range of ratios, for example `errors 0.26 times as large`.
    """
    if measure_of(record) == "log_error":
        return f"errors {number_range([10**value for value in values], 2)} times as large"
    scale, decimals, unit = (100, 1, " points") if record.in_percent else (1, 3, "")
    if measure_of(record) == "step_ms":
        decimals, unit = 1, " ms"
    ends = (min(values), max(values))
    first, last = (f"{scale * end:+.{decimals}f}" for end in ends)
    return (first if first == last else f"{first} to {last}") + unit


def format_value(record: StudyRecord, value: float | None, sign: str = "") -> str:
    """Return a value of the study's measure as text.

    Args:
        record: the record of the study. If its `in_percent` is True, the text is in percent with 2
            decimals. Otherwise it has 4 decimals.
        value: a value or a difference of values. The text is a dash for None.
        sign: `+` to write a plus sign before positive values; empty for no plus sign.

    >>> record = StudyRecord.model_construct(in_percent=True)
    >>> format_value(record, 0.5), format_value(record, 0.001, "+"), format_value(record, None)
    ('50.00', '+0.10', '-')
    """
    if value is None:
        return "-"
    return f"{100 * value:{sign}.2f}" if record.in_percent else f"{value:{sign}.4f}"
