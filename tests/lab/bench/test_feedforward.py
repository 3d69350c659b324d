"""Tests of the feedforward experiment: folds, equal starts, errors, resumed runs."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Return the script. Its only table is `superconductivity`, with 60 rows."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("feedforward")
    x = np.random.default_rng(0).normal(size=(60, 3)) + 5
    table = np.column_stack((x, np.sin(x[:, 0]) + x[:, 1]))
    name = tmp_path / "superconductivity.csv"
    np.savetxt(name, table, delimiter=",", header="a,b,c,critical_temp", comments="")
    monkeypatch.setenv("HINGED_DATA", str(tmp_path))
    monkeypatch.setattr(script, "OTHER_HIDDEN_UNITS", 3)
    script.load_table.cache_clear()
    yield script
    script.load_table.cache_clear()


def arguments(path, *others):
    methods = ["--methods", "adact-relu", "molf-relu", "lm"]
    return [str(path), "--folds", "2", "--iterations", "4", *methods, *map(str, others)]


def test_every_row_is_tested_once_and_is_never_trained_on_in_the_same_fold(bench):
    divided = [bench.divide(25, fold) for fold in range(10)]
    for parts in divided:
        assert sorted(torch.cat(parts).tolist()) == list(range(25))
        assert [len(part) for part in parts[1:]] in ([2, 2], [2, 3], [3, 2], [3, 3])
    tests = torch.cat([test for _, _, test in divided])
    validations = torch.cat([validation for _, validation, _ in divided])
    assert sorted(tests.tolist()) == sorted(validations.tolist()) == list(range(25))


def test_all_methods_start_with_the_same_hidden_weights(bench):
    x, y = bench.load_table("superconductivity")
    starts = [bench.initial_network(method, x, y, 3, 1) for method in bench.METHODS.values()]
    assert len(starts) == 8
    for network in starts[1:]:
        assert torch.equal(network.hidden.weight, starts[0].hidden.weight)
    assert torch.allclose(starts[0].hidden(x).mean(dim=0), torch.tensor(0.5).double())
    curves, relu = starts[1], starts[3]
    assert torch.allclose(curves(x), relu(x), atol=1e-12)


def test_the_errors_are_those_of_the_network_with_the_best_validation_error(bench, monkeypatch):
    """With the test part as validation part, the best validation error is the test error."""
    training, _, test = bench.divide(60, 0)
    monkeypatch.setattr(bench, "divide", lambda *_: (training, test, test))
    found = bench.run_job(bench.Job("superconductivity", "molf-relu", 0, 6))
    assert found["validation_error"] == found["test_error"] != found["training_error"]
    assert 1 <= found["best"] <= 6
    assert 0 < found["seconds_to_best"] <= found["seconds"]


def test_a_killed_run_goes_on_after_its_last_complete_line(bench, tmp_path, capsys):
    path, record_file = tmp_path / "r.jsonl", tmp_path / "record.json"
    bench.main(arguments(path))
    whole = path.read_bytes().splitlines(keepends=True)
    assert len(whole) == 6
    path.write_bytes(b"".join(whole[:2]) + whole[2][:40])  # as when killed while it writes
    bench.main(arguments(path, "--record", record_file))
    resumed = path.read_bytes().splitlines(keepends=True)
    assert resumed[:2] == whole[:2]
    errors = [[json.loads(line)["test_error"] for line in lines] for lines in (whole, resumed)]
    assert errors[0] == errors[1]
    record = json.loads(record_file.read_text())
    assert [each["fold"] for each in record["results"]] == [0, 0, 0, 1, 1, 1]
    table = record["tables"]["superconductivity"]
    counts = table.pop("multiplies")
    assert counts.keys() == bench.METHODS.keys()
    assert counts["adact-relu"] > counts["molf-relu"] == counts["molf-sigmoid"]
    assert table == {"rows": 60, "features": 3, "targets": 1, "hidden": 3}
    said = capsys.readouterr()
    assert "AdAct, from ReLU" in said.out
    assert said.err.count("oh7 is skipped") == 2


def test_twod_and_oh7_have_the_published_numbers_of_hidden_units(bench):
    assert [bench.hidden_units(name) for name in ("twod", "oh7", "concrete")] == [27, 23, 3]


def test_without_any_table_nothing_is_trained(bench, tmp_path, capsys):
    bench.main(arguments(tmp_path / "r.jsonl", "--tables", "twod", "--record", tmp_path / "r.json"))
    assert not (tmp_path / "r.jsonl").exists()
    assert json.loads((tmp_path / "r.json").read_text())["results"] == []
    assert "twod is skipped" in capsys.readouterr().err
