"""Tests of the page that compares estimators, and of the times and the memory that it shows."""

import importlib
import math
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def page():
    return runpy.run_path(str(ROOT / "docs" / "estimators.py"))


def record(**scores):
    """Return a record of a table with ten folds, with scores of each contender."""
    return {
        "folds": 10,
        "contenders": {name: name.upper() for name in scores},
        "tables": {"t": {"rows": 90, "columns": 3, "classes": 0, "seen": True}},
        "results": [
            {"table": "t", "contender": name, "fold": fold, "score": score, "fit_seconds": 2.0}
            for name, each in scores.items()
            for fold, score in enumerate(each)
        ],
    }


BASE = [0.5, 0.6, 0.7, 0.5]
# The differences are 0.1 on average, with a standard deviation of 0.0816: Student's t is 2.449 and
# the corrected one 2.038, so that no test finds a difference.
CLOSE = [0.5, 0.7, 0.8, 0.7]
FAR = [0.91, 0.99, 1.1, 0.91]


def test_better_and_significant_are_counted(page):
    row = page["versus_row"](record(hinged=CLOSE, relu=BASE), "hinged", "relu")
    assert row == ["HINGED against RELU", "1 of 1", "0 (0)", "0 (0)", "0.76", "4"]
    row = page["versus_row"](record(hinged=BASE, relu=FAR), "hinged", "relu")
    assert row[1:4] == ["0 of 1", "0 (0)", "1 (1)"]


def test_only_folds_that_both_have_finished_are_compared(page):
    scores = record(hinged=[*BASE, 0.0], relu=FAR[:3])
    assert page["paired"](scores, "t", "hinged", "relu") == (BASE[:3], FAR[:3])
    test = page["tests_of"](scores, "hinged", "relu")["t"]
    assert test.pairs == 3 and test.difference.mean == pytest.approx(-0.4)
    failed = record(hinged=BASE, relu=[])
    assert page["tests_of"](failed, "hinged", "relu") == {}
    assert "| 0 |" not in page["versus_table"](failed)


def test_the_best_scores_are_bold_and_seen_tables_marked(page):
    table = page["scores_table"](record(hinged=CLOSE, relu=BASE))
    assert "| t* | 90 x 3, regression | **0.675** | 0.575 |" in table
    assert "| median time of a fit |  | 2 s | 2 s |" in table


def test_the_origin_of_earlier_results_is_said(page):
    facts = dict.fromkeys(("torch", "processor", "cores", "kernel"), "x") | {
        "xgboost": "not installed"
    }
    earlier = {"made": "2025-01-01", "environment": facts, "commits": ["a", "b"]}
    found = {**record(hinged=CLOSE, relu=BASE), **earlier, "made": "2026-01-01"}
    assert "xgboost" not in page["_machine"](found, "estimators")
    found["earlier"] = {"contenders": ["relu"], **earlier}
    text = page["_machine"](found, "estimators")
    assert "Recorded on 2026-01-01 at commit a, b" in text
    assert "RELU: recorded on 2025-01-01 at commit a, b" in text


def test_the_picture_shows_the_ratio_of_errors(page):
    figure = page["draw"](record(hinged=BASE, relu=CLOSE))
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert lines["RELU"] == [pytest.approx(0.325 / 0.425)] and lines["HINGED"] == [1.0]


def test_times_are_compared_within_a_round(page):
    rounds = [
        {"score": 0.5, "fit_score": 0.6, "fit_seconds": 4.0, "rival_seconds": rival}
        | {"reached_seconds": reached}
        for rival, reached in ((1.0, 0.5), (4.0, 1.0), (2.0, None))
    ]
    found = {"cases": [{"table": "t", "rounds": rounds}], "made": "2026-01-01", "environment": {}}
    found["environment"] = dict.fromkeys(("torch", "processor", "cores", "kernel", "commit"), "x")
    text = page["times_text"](found)
    assert "on 1 of 1 tables" in text
    assert "| t | 0.50 | 0.25 to not reached | 0.500 | 0.600 | 2.00 |" in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_time_to_a_score_is_that_of_all_networks_on_test_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    times = importlib.import_module("estimator_times")
    table = times.load_table("diabetes", 200)
    model = times.CONTENDERS["hinged"].make(False, 3, {"max_iter": 1})
    with times.Snapshots() as snapshots:
        model.fit(table.x, table.y)
    (networks,) = snapshots.networks
    for kept, last in zip(networks, model.parameters_, strict=True):
        assert all((kept[name] == last[name]).all() for name in last)
    found = times.time_round(table, 3)
    assert len(snapshots.networks) == 1  # Only trainings inside the context are kept.
    training, test = table.folds()[3]
    model.set_params(max_iter=200).fit(table.x[training], table.y[training])
    assert found["fit_score"] == model.score(table.x[test], table.y[test]) > found["score"]
    assert 0 < found["reached_seconds"] < found["fit_seconds"]
    never = {"rounds": [{"reached_seconds": None, "rival_seconds": 1.0}] * 2}
    assert math.isinf(times.median_ratio(never))


@pytest.mark.slow
def test_the_memory_of_a_fit_is_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    memory = importlib.import_module("estimator_memory")
    found = memory.measure(2000, 4, 1)
    assert found["table_mib"] == pytest.approx(2000 * 4 * 8 / 2**20)
    assert 0 <= found["fit_mib"] < 200 and found["seconds"] > 0
