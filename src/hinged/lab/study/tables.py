"""The tables of a study's record: the results, and the details behind them.

A row of a record is one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from hinged.lab.reporting import terminal, tuning_table
from hinged.lab.reporting.significance import FEWEST_SEEDS
from hinged.lab.study.measure_words import format_value, measure_of
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.rivals import LEVEL
from hinged.lab.study.wording import (
    activation_words,
    axis_words,
    compares_variants,
    join,
    number_word,
    point_words,
    reference_words,
    row_words,
    setting_words,
    variant_words,
)

_NO_BREAK = "\N{NO-BREAK SPACE}"


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        texts: one text for each column.
        stands_out: whether the row is about curves, and should stand out from other rows.
        is_heading: whether the row only has a text in its first column, above a group of rows.
    """

    texts: tuple[str, ...]
    stands_out: bool = False
    is_heading: bool = False


class Table(NamedTuple):
    """A table of a record.

    Attributes:
        title: what the table shows.
        about: a sentence above the table; may be empty.
        headings: the headings of the columns.
        rows: the rows.
    """

    title: str
    about: str
    headings: tuple[str, ...]
    rows: list[Row]


def results(record: StudyRecord) -> Table:
    """Return the main table: the mean of each row, and its difference to the reference.

    Rows of the same setting form a group under a heading. If variants are compared with each other,
    all variants at a point of the grid form a group, with their numbers of trained parameters.
    """
    by_point = compares_variants(record)
    rows: list[Row] = []
    name = point_words if by_point else setting_words
    for setting, group in itertools.groupby(record.rows, lambda row: name(record, row)):
        members = list(group)
        has_heading = bool(setting) and len(members) > 1
        if has_heading:
            rows.append(Row((setting, *[""] * (4 if by_point else 3)), is_heading=True))
        for row in members:
            words = _words_in_group(row, by_point) if has_heading else row_words(record, row)
            count = (f"{row.parameters:,}",) if by_point else ()
            texts = (words, *count, *_result_texts(record, row))
            rows.append(Row(texts, _stands_out(record, row)))
    unit = ", %" if record.in_percent else ""
    compared = [row for row in record.rows if row.versus is not None]
    base = activation_words(record.baseline)
    minus = f"minus {reference_words(record, compared) if _is_first(record) else base}"
    first = ("activation", "trained parameters") if by_point else ("activation",)
    headings = (*first, f"{record.measure}{unit}", minus, "p, corrected")
    return Table("Results", "", headings, rows)


def _words_in_group(row: RecordRow, by_point: bool) -> str:
    """Return the words for a row under the heading of its group."""
    activation, variant = activation_words(row.activation), variant_words(row)
    return f"{activation} ({variant})" if by_point and variant else activation


def how_to_read(record: StudyRecord) -> str:
    """Return sentences that explain the columns of the main table."""
    rows = [row for row in record.rows if row.versus is not None]
    same = len({row.versus.label for row in rows if row.versus is not None}) > 1
    within = not _is_first(record) or compares_variants(record)
    where = " in the same setting" if same and within else ""
    direction = "Larger" if record.larger_is_better else "Smaller"
    if not rows:
        return f"{direction} numbers are better."
    return (
        f"{direction} numbers are better. A difference is the value of the row minus the "
        f"value of {reference_words(record, rows)}{where}: the mean over pairs of trainings with "
        "the same seed, with its 95 % interval in parentheses. p is that of the paired t-test "
        "after Holm's correction for all comparisons of the table. A difference is significant if "
        f"p is below {LEVEL:g} and at least {number_word(FEWEST_SEEDS)} pairs are compared."
    )


def details(record: StudyRecord) -> list[Table]:
    """Return the further tables: tuning, statistics, cost, and the advice of `hinged.diagnose`."""
    return [*_tuning(record), _statistics(record), _cost(record), *_advice(record)]


def _result_texts(record: StudyRecord, row: RecordRow) -> tuple[str, ...]:
    difference = p = ""
    if row.versus is not None:
        mean, low, high = (
            format_value(record, value, "+")
            for value in (row.versus.t.mean, row.versus.t.low, row.versus.t.high)
        )
        difference = f"{mean} ({low} to {high})".replace(" to ", _NO_BREAK + "to" + _NO_BREAK)
        p = terminal.format_p_value(row.versus.p_holm)
    return format_value(record, row.mean), difference, p


def _tuning(record: StudyRecord) -> list[Table]:
    """Return the table of the settings that were tried; no table if the study tunes nothing."""
    words = {(row.cell, row.activation): row_words(record, row) for row in record.rows}
    rows = []
    for cell, tuned in record.tuning.items():
        for each in tuned:
            activation, *texts = tuning_table.tuning_row(each)
            untrained = f"{activation_words(activation)} ({cell})"
            rows.append(Row((words.get((cell, activation), untrained), *texts)))
    if not rows:
        return []
    folds = any(cell["folds"] is not None for cell in record.cells.values())
    about = tuning_table.ABOUT + tuning_table.ABOUT_FOLDS * folds + _tuned_at(record)
    return [Table(tuning_table.TITLE, about, tuning_table.tuning_headings(record.metric), rows)]


def _tuned_at(record: StudyRecord) -> str:
    """Return a sentence, with a space before it, if other cells take the choice of those tuned."""
    if not record.tuned_at:
        return ""
    axes = [(axis_words(axis), value) for axis, value in record.tuned_at.items()]
    at = join([f"{name} {value}" for name, value in axes])
    return f" Only the cells with the {at} were tuned. The others take the choice of these."


def _statistics(record: StudyRecord) -> Table:
    shows_score = measure_of(record) != "score"
    rows = []
    for row in record.rows:
        versus = row.versus
        ps = ("", "") if versus is None else (versus.p, versus.p_sign_flip)
        texts = (
            _format_count(row),
            format_value(record, row.std),
            *((_format_test_score(record, row),) if shows_score else ()),
            *(p if isinstance(p, str) else terminal.format_p_value(p) for p in ps),
        )
        rows.append(Row((row_words(record, row), *texts), _stands_out(record, row)))
    score = (f"test {record.metric}",) if shows_score else ()
    headings = ("activation", "trainings", "standard deviation", *score, "p", "p, signs flipped")
    about = (
        "p is that of the paired t-test without correction. The p with signs flipped is that of "
        "the permutation test."
    )
    return Table("Spread and tests", about, headings, rows)


def _cost(record: StudyRecord) -> Table:
    rows = []
    for row in record.rows:
        texts = (
            f"{row.parameters:,}",
            f"{row.activation_parameters:,}",
            f"{row.step_ms:.2f} ms",
            "" if row.step_ratio is None else f"{row.step_ratio:.2f}",
        )
        rows.append(Row((row_words(record, row), *texts), _stands_out(record, row)))
    headings = (
        "activation",
        "trained parameters",
        "of these, of activations",
        "time per step",
        "relative time",
    )
    about = "The relative time is that of the row divided by that of the row it is compared with."
    return Table("Parameters and time", about, headings, rows)


def _advice(record: StudyRecord) -> list[Table]:
    signs = list(dict.fromkeys(sign for row in record.rows for sign in row.advice))
    curves = [row for row in record.rows if row.activation == "hinged"]
    rows = [
        Row(
            (
                setting_words(record, row) or "curves",
                *(f"{100 * row.advice.get(sign, 0):.0f} %" for sign in signs),
            )
        )
        for row in curves
    ]
    about = "Percentage of trainings after which `hinged.diagnose` finds a sign of a problem."
    return [Table("What hinged.diagnose finds", about, ("curves", *signs), rows)] if signs else []


def _stands_out(record: StudyRecord, row: RecordRow) -> bool:
    of_interest = record.baseline != "hinged" or compares_variants(record)
    return of_interest and row.activation == "hinged"


def _is_first(record: StudyRecord) -> bool:
    """Whether a row of the baseline is compared with another row of the baseline."""
    return any(row.versus is not None and row.activation == record.baseline for row in record.rows)


def _format_count(row: RecordRow) -> str:
    """Return the number of trainings as text; `4 of 5` if only 4 of 5 have a finite value."""
    finite = sum(value is not None for value in row.values.values())
    return str(row.n) if finite == row.n else f"{finite} of {row.n}"


def _format_test_score(record: StudyRecord, row: RecordRow) -> str:
    return "-" if row.test_score is None else terminal.format_score(row.test_score, record.metric)
