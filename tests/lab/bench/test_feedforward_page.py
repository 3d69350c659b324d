"""Tests of the page of the feedforward experiment."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = ("adact-sigmoid", "molf-sigmoid", "adact-relu", "molf-relu", "lm")


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(ROOT / "docs" / "feedforward.py"))


def record(**errors):
    """Return a record of twod with the test errors of the first folds of methods.

    The training errors are half as large.
    """
    facts = {"rows": 1768, "features": 8, "targets": 7, "hidden": 27}
    facts["multiplies"] = {name: 2_000_000 * (i + 1) for i, name in enumerate(NAMES)}
    results = [
        {"table": "twod", "method": name.replace("_", "-"), "fold": fold, "test_error": error}
        | {"training_error": error / 2, "best": 10 + fold, "seconds_to_best": 0.5, "seconds": 1.0}
        for name, each in errors.items()
        for fold, error in enumerate(each)
    ]
    labels = {name: name.upper() for name in NAMES}
    return {"folds": 10, "epochs": 9, "tables": {"twod": facts}, "methods": labels} | {
        "results": results
    }


def test_the_page_agrees_with_the_record(page):
    text = page["PAGE"].read_text()
    assert page["fill_page"](text) == text


def test_errors_are_means_with_standard_deviations_beside_published_ones(page):
    table = page["errors_table"](record(molf_sigmoid=[0.1, 0.2, 0.3]), "twod")
    assert (
        "| MOLF-SIGMOID (3 folds) | 0.1000 ± 0.0500 | 0.2000 ± 0.1000 | 0.1554, 0.1731 "
        "| 4.0 M | 11 | 0.04 G | 0.5 |"
    ) in table
    assert "| SCG, published only |  |  | 1.0985, 1.0945 |" in table
    assert "| LM, published only |  |  | 0.2038, 0.2205 |" in table and "RELU" not in table


def test_large_errors_have_fewer_decimals(page):
    large = record(adact_relu=[30.0, 34.0], molf_relu=[32.0, 32.0])
    assert "| 32.00 ± 2.83 |" in page["errors_table"](large, "twod")
    assert "+0.00 [-28.09, +28.09], p = 1 " in page["differences_table"](large)


def test_the_distance_to_the_published_error_is_said(page):
    said = page["repeated_sentence"](record(molf_sigmoid=[0.1731 * 1.1] * 2))
    assert "0.1904 on twod, 10.0 % more than the published 0.1731 (2 folds)" in said
    assert "5.0 % less" in page["repeated_sentence"](record(molf_sigmoid=[0.1731 * 0.95]))


def test_only_folds_that_both_methods_have_finished_are_compared(page):
    errors = record(adact_relu=[0.1, 0.2, 0.35, 9.0], molf_relu=[0.2, 0.4, 0.4])
    test = page["test_of"](errors, "twod", ("adact-relu", "molf-relu"))
    assert test.pairs == 3 and test.difference.mean == pytest.approx(-0.35 / 3)
    assert page["test_of"](errors, "twod", ("adact-sigmoid", "molf-sigmoid")) is None


def test_significant_differences_are_named(page):
    lower = record(adact_relu=[0.1, 0.2, 0.31], molf_relu=[0.2, 0.3, 0.4])
    said = page["curves_sentence"](lower)
    assert "error in 1 of 1 cases, and the lower mean test error in 1" in said
    assert ". The mean test error is significantly lower for ADACT-RELU, on twod." in said
    assert "**-0.0967 [" in page["differences_table"](lower)
    higher = record(adact_relu=[0.2, 0.3, 0.4], molf_relu=[0.1, 0.2, 0.31])
    said = page["curves_sentence"](higher)
    assert "in 0 of 1" in said and "significantly higher for ADACT-RELU, on twod." in said
    level = record(adact_relu=[0.1, 0.3], molf_relu=[0.2, 0.1])
    assert "No difference of test errors is significant." in page["curves_sentence"](level)


def test_the_best_method_and_the_cost_are_said(page):
    errors = {name.replace("-", "_"): [0.2, 0.3] for name in NAMES}
    said = page["cost_sentence"](record(**{**errors, "lm": [0.1, 0.3]}))
    assert said.startswith("The method with the lowest mean test error is LM, on twod. Relative to")
    said = page["cost_sentence"](record(lm=[0.1, 0.1], molf_sigmoid=[0.2, 0.3]))
    assert said.startswith("Relative to")
    assert "LM needs 2.5 times the multiplications and 1.0 times the seconds" in said
    assert "AdAct 1.5 times the multiplications and unknown times the seconds" in said
