"""Tests of the benchmark of estimators: folds, resumed runs, tuning, and no look at test rows."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("estimators")


def arguments(path, *others):
    sets = ["--sets", "diabetes", "iris", "--contenders", "linear", "--folds", "2"]
    return [str(path), *sets, *map(str, others)]


@pytest.mark.parametrize("name", ["diabetes", "iris"])
def test_every_row_is_tested_once_and_never_trained_on_in_the_same_fold(bench, name):
    table = bench.load_table(name, 100)
    assert len(table.x) == 100 < table.all_rows
    folds = table.folds()
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(100))
    assert all(set(training).isdisjoint(test) for training, test in folds)
    again = bench.load_table.__wrapped__(name, 100)
    assert np.array_equal(again.x, table.x)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(again.folds(), folds, strict=True))


def test_a_run_ends_with_a_record_of_every_fold(bench, tmp_path, capsys):
    record_file = tmp_path / "record.json"
    bench.main(arguments(tmp_path / "r.jsonl", "--record", record_file))
    record = json.loads(record_file.read_text())
    folds = [(each["table"], each["fold"]) for each in record["results"]]
    assert sorted(folds) == [(t, f) for t in ("diabetes", "iris") for f in (0, 1)]
    assert all(0.2 < each["score"] <= 1 for each in record["results"])
    assert [each["table"] for each in record["results"] if "log_loss" in each] == ["iris"] * 2
    assert record["tables"]["iris"]["classes"] == 3 and record["tables"]["diabetes"]["seen"]
    assert record["environment"]["torch"] and record["folds"] == 10
    assert "diabetes" in capsys.readouterr().out


def test_results_of_other_contenders_are_kept_from_an_earlier_record(bench, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    bench.main(arguments(tmp_path / "a.jsonl", "--record", first))
    ours = ("--contenders", "sklearn-mlp", "--record", second, "--earlier", first)
    bench.main(arguments(tmp_path / "b.jsonl", *ours))
    earlier, record = json.loads(first.read_text()), json.loads(second.read_text())
    assert list(record["contenders"]) == ["sklearn-mlp", "linear"]
    assert record["results"][4:] == earlier["results"]
    assert record["earlier"]["contenders"] == ["linear"]
    assert record["earlier"]["made"] == earlier["made"]
    with pytest.raises(SystemExit, match="other rows"):
        bench.main(arguments(tmp_path / "c.jsonl", "--rows", "100", "--earlier", first))


def test_a_killed_run_goes_on_after_its_last_complete_line(bench, tmp_path):
    path = tmp_path / "r.jsonl"
    bench.main(arguments(path))
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])  # as when killed while it writes
    bench.main(arguments(path))
    resumed = path.read_bytes().splitlines(keepends=True)
    assert resumed[:2] == lines[:2] and len(resumed) == 4
    assert [json.loads(a)["score"] for a in resumed] == [json.loads(a)["score"] for a in lines]
    for others in ([], ["--folds", "3", "--finished"]):
        bench.main(arguments(path, *others))
        assert path.read_bytes() == b"".join(resumed)


class Spy(RegressorMixin, BaseEstimator):
    """An estimator that keeps the targets it is trained on, and fails with `fails`."""

    seen: list = []  # noqa: RUF012 (of all copies)

    def __init__(self, random_state=0, level=0.0, fails=False):
        self.random_state, self.level, self.fails = random_state, level, fails

    def fit(self, x, y):  # noqa: ARG002 (the targets name the rows)
        if self.fails:
            raise RuntimeError("no luck\nat all")
        self.seen.append((self.level, set(y)))
        return self

    def predict(self, x):
        return np.full(len(x), self.level)


def spy_on(bench, monkeypatch, **settings):
    spy = bench.CONTENDERS["linear"].__class__(
        "spy",
        lambda **given: Spy(**given, **settings),
        Spy,
        lambda draw, _: {"level": draw.random()},
    )
    monkeypatch.setitem(bench.CONTENDERS, "spy", spy)
    rows = np.arange(50.0)
    table = bench.Table(rows[:, None], rows, False, 50)
    monkeypatch.setattr(bench, "load_table", lambda *_: table)
    monkeypatch.setattr(Spy, "seen", [])
    return bench.Job("table", "spy", 3, 50, trials=0), table.folds()[3]


def test_nothing_is_trained_or_tuned_on_test_rows(bench, monkeypatch):
    job, (training, test) = spy_on(bench, monkeypatch)
    found = bench.run_job(job._replace(trials=5))
    assert found["settings"] == {"level": max(level for level, _ in Spy.seen)}
    *trials, (_, last) = Spy.seen
    assert len(trials) == 5 and trials[0][0] == 0.0  # The first trial has the defaults.
    assert last == set(training.astype(float))
    inner = {frozenset(rows) for _, rows in trials}
    assert len(inner) == 1 and inner.pop() < last
    assert last.isdisjoint(test)


def test_a_contender_that_fails_is_recorded_and_tried_again(bench, monkeypatch, tmp_path):
    job, _ = spy_on(bench, monkeypatch, fails=True)
    path = tmp_path / "r.jsonl"
    (found,) = bench.run([job], path, 1)
    assert found["problem"] == "RuntimeError: no luck"
    job, _ = spy_on(bench, monkeypatch)
    (found,) = bench.run([job], path, 1)
    assert "problem" not in found and bench.read_results(path) == {job: found}
    assert list(bench.run([job], path, 1)) == []


def test_slow_contenders_come_last_and_first_folds_first(bench):
    jobs = bench.plan(["a", "b"], ["realmlp", "linear"], 2, 100, 0)
    order = [(each.contender, each.fold, each.table) for each in jobs]
    assert order == [(c, f, t) for c in ("linear", "realmlp") for f in (0, 1) for t in ("a", "b")]


def test_the_search_spaces_fit_the_estimators(bench):
    draw = np.random.default_rng(0)
    for name, contender in bench.CONTENDERS.items():
        if not contender.is_installed or name in bench.SLOW:
            continue
        for is_classification in (False, True):
            settings = contender.space(draw, is_classification)
            model = contender.make(is_classification, 0, settings)
            values = model.get_params().items()
            inner = {key.split("__")[-1]: value for key, value in values}
            assert {key: inner[key] for key in settings} == settings, name


def test_realmlp_is_trained_as_in_its_package(monkeypatch):
    pytest.importorskip("pytabkit")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    realmlp = importlib.import_module("realmlp")
    import torch

    x = torch.randn(90, 3)
    y = x.sum(dim=1, keepdim=True).relu()
    tasks = [
        SimpleNamespace(config=realmlp.RealMLPConfig.td_reg(n_epochs=6), y=y, classes=0),
        SimpleNamespace(config=realmlp.RealMLPConfig.td_class(n_epochs=6), y=y > 0, classes=2),
    ]
    rows = torch.arange(70), torch.arange(70, 90)
    for task in tasks:
        expected, _ = realmlp.realmlp_training.fit(
            task.config, x, x[:, :0], [], task.y, *(r[None] for r in rows), task.classes, seed=5
        )
        found = realmlp.train_realmlp(task.config, x, task.y, rows, task.classes, 5, curves=False)
        for name, tensor in expected.state_dict().items():
            assert torch.equal(tensor, found.state_dict()[name]), name
        curved = realmlp.train_realmlp(task.config, x, task.y, rows, task.classes, 5, curves=True)
        layers = [each for each in curved.mlp if isinstance(each, realmlp.Curves)]
        fresh = realmlp.Curves(256, task.config.act)
        assert len(layers) == 3
        for each in layers:
            assert (each.curves.values - fresh.curves.values).abs().max() > 0.01
