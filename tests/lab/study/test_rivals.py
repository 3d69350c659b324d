import numpy as np
import pytest
import scipy.stats

from hinged.lab.reporting.multiple_testing import holm_correction
from hinged.lab.study.build_record import build_record
from hinged.lab.study.rivals import against_baseline, against_others, rows_in_question
from tests.lab.study.helpers import invent_record, invent_row


def test_if_hinged_is_the_baseline_all_others_are_asked_about(finished):
    found = build_record(finished).model_copy(update={"baseline": "hinged"})
    assert rows_in_question(found) == [row for row in found.rows if row.versus is not None]


def test_p_values_of_the_baseline_are_those_of_the_record():
    record = invent_record([(0.05, 0.03), (-0.05, 0.04), (0.01, 0.06)])
    found = against_baseline(record)
    assert [each.p for each in found.differences] == [0.03, 0.04, 0.06]
    assert [len(part) for part in (found.better, found.worse, found.undecided)] == [1, 1, 1]


def test_other_rivals_are_tested_with_correction_for_all_tests():
    record = invent_record([(0.05, 0.03)])
    values = list(np.random.default_rng(0).normal(0.54, 0.02, size=10))
    rival = invent_row("silu", values, cell="depth-1", label="", point={})
    record = record.model_copy(update={"rows": [*record.rows, rival]})
    (found,) = against_others(record, ["relu", "silu", "gelu"])
    ours = list(record.rows[1].values.values())
    p = scipy.stats.ttest_rel(ours, values).pvalue
    assert found.rival == "silu" and found.tests == 2
    assert found.differences[0].mean == pytest.approx(np.mean(ours) - np.mean(values))
    assert found.differences[0].p == pytest.approx(holm_correction([0.03, p])[1])
