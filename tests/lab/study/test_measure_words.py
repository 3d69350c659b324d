import pytest

from hinged.lab.study.measure_words import (
    mean_differences,
    measure_of,
    number_range,
    signed_range,
    words_for,
)
from hinged.lab.study.outcome_measures import MEASURES
from tests.lab.study.helpers import invent_record


@pytest.mark.parametrize("name", MEASURES)
def test_the_measure_of_a_record_is_found(name):
    assert measure_of(invent_record([(0.1, 0.1)], measure=name)) == name


def test_a_range_has_as_many_decimals_as_its_smallest_number_needs():
    assert number_range([0.2, 0.04], 1) == "0.04 to 0.20"
    assert number_range([0.0, 1.5], 1) == "0.0 to 1.5"
    assert number_range([0.96, 0.98], 1) == "1.0"


@pytest.mark.parametrize(
    ("measure", "metric", "amount", "signed"),
    [
        ("score", "accuracy", "1.0 to 2.5 points of accuracy", "+1.0 to +2.5 points"),
        ("score", "R2", "0.010 to 0.025 in R2", "+0.010 to +0.025"),
        ("score", "mAP", "0.010 to 0.025 in mAP", "+0.010 to +0.025"),
        ("gap", "accuracy", "1.0 to 2.5 points", "+1.0 to +2.5 points"),
        ("dead", "R2", "1.0 to 2.5 points", "+1.0 to +2.5 points"),
        ("step_ms", "accuracy", "0.01 to 0.03 ms", "+0.0 ms"),
    ],
)
def test_each_measure_has_its_unit(measure, metric, amount, signed):
    record = invent_record([(0.1, 0.1)], measure=measure, metric=metric)
    assert words_for(record).amount([0.01, 0.0251]) == amount
    assert signed_range(record, [0.01, 0.0251]) == signed


def test_differences_of_logarithms_are_ratios():
    record = invent_record([(0.1, 0.1)], measure="log_error", metric="R2")
    assert mean_differences(record, [-1.0, -0.30103]) == (
        "On average, there are errors 0.10 to 0.50 times as large."
    )
