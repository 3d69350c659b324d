"""The comparisons of a record that answer its question: curves with each other activation.

A row of a record is one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from hinged.lab.reporting.multiple_testing import holm_correction
from hinged.lab.reporting.significance import FEWEST_SEEDS, finite_pairs, paired_t_test
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.setting_effects import relevant_settings
from hinged.lab.study.wording import experiment_of

LEVEL = 0.05
"""Significance level of all tests."""


class Difference(NamedTuple):
    """The mean difference between a row and its rival, over pairs with the same seed.

    Attributes:
        row: the row.
        mean: mean of the row's values minus the rival's values.
        pairs: number of seeds at which both have a finite value.
        p: p-value of the paired t-test, after Holm's correction; None without a p-value.
        is_better: whether the mean of the row is better, whatever `p` is.
    """

    row: RecordRow
    mean: float
    pairs: int
    p: float | None
    is_better: bool

    @property
    def has_verdict(self) -> bool:
        """Whether the difference holds after correction, and comes from enough seeds."""
        return self.pairs >= FEWEST_SEEDS and self.p is not None and self.p < LEVEL


class Rivalry(NamedTuple):
    """The comparison of curves with one rival in all settings of a study.

    Attributes:
        rival: name of the other activation.
        differences: one difference for each setting in which both can be compared.
        tests: number of tests for which the p-values are corrected.
        left_out: number of settings in which both cannot be compared, because their trainings
            failed, diverged or are missing.
    """

    rival: str
    differences: list[Difference]
    tests: int
    left_out: int = 0

    @property
    def settings(self) -> int:
        """Return the number of all settings."""
        return len(self.differences) + self.left_out

    @property
    def better(self) -> list[Difference]:
        """Return the differences that show that curves are better."""
        return [each for each in self.differences if each.has_verdict and each.is_better]

    @property
    def worse(self) -> list[Difference]:
        """Return the differences that show that curves are worse."""
        return [each for each in self.differences if each.has_verdict and not each.is_better]

    @property
    def undecided(self) -> list[Difference]:
        """Return the differences that show nothing, although they come from enough seeds."""
        enough = [each for each in self.differences if each.pairs >= FEWEST_SEEDS]
        return [each for each in enough if not each.has_verdict]

    @property
    def few(self) -> list[Difference]:
        """Return the differences that come from too few seeds for a verdict."""
        return [each for each in self.differences if each.pairs < FEWEST_SEEDS]

    @property
    def pairs(self) -> tuple[int, int]:
        """Return the smallest and the largest number of pairs of a difference.

        Differences that come from too few seeds count only if there are no others.
        """
        every = [each.pairs for each in self.differences]
        counts = [pairs for pairs in every if pairs >= FEWEST_SEEDS] or every
        return min(counts), max(counts)


def rows_in_question(record: StudyRecord) -> list[RecordRow]:
    """Return the rows of `hinged` that are compared with another row.

    These rows answer the question of the study. If `hinged` is the baseline, all rows that are
    compared with another row are returned.
    """
    return [
        row
        for row in record.rows
        if row.versus is not None and (row.activation == "hinged" or record.baseline == "hinged")
    ]


def against_baseline(record: StudyRecord) -> Rivalry:
    """Return the comparisons with the baseline. Their p-values are those of the record."""
    differences = [
        _difference(record, row, row.versus.t.mean, row.versus.pairs, row.versus.p_holm)
        for row in rows_in_question(record)
        if row.versus is not None
    ]
    tests = sum(row.versus is not None for row in record.rows)
    return Rivalry(record.baseline, differences, tests, _count_left_out(record, len(differences)))


def against_others(record: StudyRecord, names: Iterable[str]) -> list[Rivalry]:
    """Return the comparisons of curves with other activations than the baseline.

    They are computed from the values in the record. Holm's correction is for these tests together
    with those of the record.

    Args:
        record: the record of the study.
        names: names of the other activations. Names without a row in the record are left out.
    """
    found: list[tuple[str, Difference]] = []
    for name in names:
        if name not in (record.baseline, "hinged"):
            found += [(name, each) for each in _uncorrected(record, name)]
    known = [row.versus.p for row in record.rows if row.versus is not None]
    ps = [*known, *(each.p for _, each in found)]
    corrected = holm_correction([math.nan if p is None else p for p in ps])[len(known) :]
    differences = [
        (name, each._replace(p=None if math.isnan(p) else p))
        for (name, each), p in zip(found, corrected, strict=True)
    ]
    return [
        Rivalry(name, own, len(ps), max(_count_common_settings(record, name) - len(own), 0))
        for name in dict.fromkeys(name for name, _ in differences)
        for own in [[each for other, each in differences if other == name]]
    ]


def rows_in_same_setting(record: StudyRecord, row: RecordRow) -> list[RecordRow]:
    """Return the rows of the other activations that were trained like a given row.

    All settings of such a row are equal to those of the given row, except settings that do not
    affect the other activation.
    """
    own = experiment_of(record, row.cell)
    names = {other.activation for other in record.rows} - {row.activation}
    wanted = {name: relevant_settings(own, name) for name in names}
    return [
        other
        for other in record.rows
        if other.activation in names
        and relevant_settings(experiment_of(record, other.cell), other.activation)
        == wanted[other.activation]
    ]


def best_activations(record: StudyRecord) -> list[list[RecordRow]]:
    """Return the rows of each setting of the curves, the row with the best mean first.

    Settings in which fewer than three activations were trained are left out.
    """
    groups = []
    for row in record.rows:
        if row.activation == "hinged":
            group = [row, *rows_in_same_setting(record, row)]
            known = [each for each in group if each.mean is not None]
            if len({each.activation for each in known}) >= 3:
                sign = -1 if record.larger_is_better else 1
                groups.append(sorted(known, key=lambda each: sign * (each.mean or 0.0)))
    return groups


def _count_left_out(record: StudyRecord, compared: int) -> int:
    """Return the number of settings in which curves are not compared with the baseline."""
    if record.baseline == "hinged":
        references = {row.versus.label for row in record.rows if row.versus is not None}
        return sum(row.versus is None and row.title not in references for row in record.rows)
    planned = sum("hinged" in cell["activations"] for cell in record.cells.values())
    return max(planned - compared, 0)


def _count_common_settings(record: StudyRecord, name: str) -> int:
    """Return the number of settings in which curves and another activation were to be trained."""
    experiments = [experiment_of(record, cell) for cell in record.cells]
    with_name = [relevant_settings(e, name) for e in experiments if name in e.activations]
    return sum(
        relevant_settings(each, name) in with_name
        for each in experiments
        if "hinged" in each.activations
    )


def _uncorrected(record: StudyRecord, name: str) -> list[Difference]:
    found = []
    for row in record.rows:
        if row.activation == "hinged":
            for other in rows_in_same_setting(record, row):
                ours, theirs = finite_pairs(row.values, other.values)
                if other.activation == name and len(ours) >= 2:
                    test = paired_t_test(ours, theirs)
                    p = None if math.isnan(test.p) else test.p
                    found.append(_difference(record, row, test.difference.mean, len(ours), p))
    return found


def _difference(
    record: StudyRecord, row: RecordRow, mean: float, pairs: int, p: float | None
) -> Difference:
    return Difference(row, mean, pairs, p, (mean > 0) == record.larger_is_better and mean != 0)
