"""The table of a comparison, as text in the terminal."""

from __future__ import annotations

import math

from hinged.lab.reporting.comparison_table import ComparisonRow, ComparisonTable
from hinged.lab.reporting.fitted_table import FittedTable
from hinged.lab.reporting.significance import Interval

HEADINGS = (
    "activation",
    "{metric}",
    "minus {baseline}'s",
    "p (corrected)",
    "parameters (activ.)",
    "time per step",
    "kept for backward",
)


def headings(table: ComparisonTable) -> tuple[str, ...]:
    """Return the headings of the columns. Some name the metric and the baseline."""
    metric = "accuracy, %" if table.metric == "accuracy" else table.metric
    return tuple(heading.format(metric=metric, baseline=table.baseline) for heading in HEADINGS)


def row_texts(row: ComparisonRow, metric: str) -> tuple[str, ...]:
    """Return the texts of one row of the table, one text for each heading in `HEADINGS`."""
    difference = p = ""
    if row.versus is not None:
        difference = _format_interval(row.versus.difference, metric, "+")
        p = f"{format_p_value(row.versus.p)} ({format_p_value(row.p_corrected)})"
    ratio = "" if math.isnan(row.step_ratio) else f" (x{row.step_ratio:.2f})"
    return (
        row.activation,
        _format_interval(row.score, metric),
        difference,
        p,
        f"{row.parameters:,} ({row.activation_parameters:,})",
        f"{row.step_ms:.2f} ms{ratio}",
        f"{row.kept_mib:.2f} MiB",
    )


_LEFT_OUT = tuple(
    HEADINGS.index(heading)
    for heading in (
        "kept for backward",
        "parameters (activ.)",
        "time per step",
        "p (corrected)",
    )
)


def terminal_table(table: ComparisonTable) -> FittedTable:
    """Return the table of a comparison for the terminal.

    In a narrow terminal these columns are left out, in this order: memory, parameters, time and
    p-values.
    """
    return FittedTable(
        headings(table),
        [row_texts(row, table.metric) for row in table.rows],
        title=f"{table.finished} of {table.planned} trials; ± is half the 95 % interval",
        left_out=_LEFT_OUT,
        found_in="The page",
        bold=("hinged",),
    )


def format_score(value: float, metric: str, sign: str = "") -> str:
    """Return a score as text.

    Args:
        value: the score or a difference of scores.
        metric: name of the metric. An `accuracy` is shown in percent with 2 decimals, and any
            other metric with 4 decimals.
        sign: `+` to write a plus sign before positive values; empty for no plus sign.

    Returns:
        The text; a dash if the value is NaN.
    """
    if math.isnan(value):
        return "-"
    return f"{100 * value:{sign}.2f}" if metric == "accuracy" else f"{value:{sign}.4f}"


def format_p_value(p: float | None) -> str:
    """Return a p-value as text with 3 decimals, or a dash for None and NaN.

    A value close to 0.05 has more decimals, so that the text shows on which side of 0.05 it is.

    >>> format_p_value(0.0312), format_p_value(0.0002), format_p_value(None)
    ('0.031', '< 0.001', '-')
    >>> format_p_value(0.04998), format_p_value(0.0502)
    ('0.04998', '0.0502')
    """
    if p is None or math.isnan(p):
        return "-"
    if p < 0.001:
        return "< 0.001"
    decimals = next(n for n in range(3, 20) if p == 0.05 or round(p, n) != 0.05)
    return f"{p:.{decimals}f}"


def _format_interval(interval: Interval, metric: str, sign: str = "") -> str:
    """Return an interval as the text `mean ± half`, where `half` is half of its width."""
    mean = format_score(interval.mean, metric, sign)
    half = interval.high - interval.mean
    return mean if math.isnan(half) else f"{mean} ± {format_score(half, metric)}"
