"""Tests of the benchmark of monotone constraints."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("monotone")


def test_steps_in_the_wrong_direction_are_counted(bench):
    table = SimpleNamespace(x=np.array([[0.0, 5.0], [1.0, 6.0]]), is_classification=False)
    model = SimpleNamespace(predict=lambda x: np.minimum(x[:, 0], 1 - x[:, 0]))
    found = bench.wrong_steps(model, table, np.array([0, 1]), 0, 1)
    assert found["points"] == 2 * bench.POINTS
    assert found["wrong"] == pytest.approx(bench.POINTS, abs=4)
    assert bench.wrong_steps(model, table, np.array([0]), 1, -1)["wrong"] == 0


def test_the_page_has_the_rows_of_the_record(bench, capsys):
    record = ROOT / "benchmarks" / "records" / "monotone.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    bench.show(lines)
    assert capsys.readouterr().out in (ROOT / "docs" / "tables.md").read_text()
    for line in lines:
        if line["contender"] == "hinged, monotone":
            assert all(step["wrong"] == 0 for step in line["steps"].values())
