"""Tables of the predictions of a comparison, as texts for its page."""

from __future__ import annotations

import math
from typing import NamedTuple

from hinged.lab.reporting.comparison_table import ComparisonTable
from hinged.lab.reporting.prediction_data import MOST_CLASSES, PredictionData
from hinged.lab.reporting.significance import Interval


class TextTable(NamedTuple):
    """A table of texts.

    Attributes:
        title: title of the table.
        headings: the heading of each column.
        rows: the texts of each row, one for each column.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def score_table(table: ComparisonTable, data: PredictionData) -> TextTable:
    """Return the table of the further scores; without rows if there are none.

    Args:
        table: the table of the comparison.
        data: the further scores.
    """
    names = data.score_names
    headings = [f"{table.metric}{_unit(table.metric)}", *(f"{name}{_unit(name)}" for name in names)]
    rows = [
        (
            row.activation,
            _format(row.score, table.metric),
            *(_format(data.scores[row.activation].get(name), name) for name in names),
        )
        for row in table.rows
    ]
    return TextTable("More scores", ("activation", *headings), rows if names else [])


def class_tables(data: PredictionData) -> list[TextTable]:
    """Return the tables about single classes; none if the task is no classification.

    These are the accuracy of each class, and, with many classes, the pairs of classes that are
    confused most.
    """
    many = len(data.class_names) > MOST_CLASSES
    tables = [_pair_table(data), _class_table(data)] if many else [_class_table(data)]
    return [each for each in tables if each.rows]


def _class_table(data: PredictionData) -> TextTable:
    accuracies = data.class_accuracies()
    columns = zip(*accuracies.values(), strict=True)
    rows = [
        (name, *map(_percent, values))
        for name, values in zip(data.class_names, columns, strict=True)
    ]
    return TextTable("Accuracy of each class, %", ("class", *accuracies), rows)


def _pair_table(data: PredictionData) -> TextTable:
    rows = [
        (f"{pair.true} taken for {pair.predicted}", *map(_percent, pair.shares.values()))
        for pair in data.most_confused()
    ]
    title = "Classes confused most, % of the samples of the class"
    return TextTable(title, ("class", *data.confusions), rows)


def _unit(score: str) -> str:
    return "" if _is_a_number(score) else ", %"


def _is_a_number(score: str) -> bool:
    """Whether a score is a number in units of the data, not a fraction that is shown in percent."""
    return score == "R2" or score.startswith("RMSE")


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _format(interval: Interval | None, score: str) -> str:
    """Return an interval as the text `mean ± half`, where `half` is half of its width."""
    if interval is None or math.isnan(interval.mean):
        return "-"
    mean, half = interval.mean, interval.high - interval.mean
    scale, digits = (1, _decimals(mean)) if _is_a_number(score) else (100, 2)
    spread = "" if math.isnan(half) else f" ± {scale * half:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}"


def _decimals(value: float) -> int:
    """Return the number of decimals with which a value shows four digits.

    >>> _decimals(123.4), _decimals(0.01234), _decimals(123456.0)
    (1, 5, 0)
    """
    return max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
