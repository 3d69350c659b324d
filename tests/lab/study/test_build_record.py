import json

import numpy as np
import pytest
import scipy.stats

from hinged import errors
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study
from hinged.lab.study.record import StudyRecord
from tests.lab.helpers import make_failure
from tests.lab.study.helpers import SCORES, fill_folder


@pytest.fixture
def folder(tiny, tmp_path):
    return fill_folder(tmp_path / "made-up", read_study(tiny))


def test_rows_are_those_of_the_scores(folder):
    found = build_record(folder)
    assert [row.title for row in found.rows] == ["relu", "hinged (hinges 3)", "hinged (hinges 9)"]
    assert found.metric == "accuracy" and found.in_percent and found.seconds == 30.0
    assert found.command == "hinged study run tiny.toml --scale full"
    for row in found.rows:
        scores = SCORES[row.cell, row.activation]
        assert row.n == 5 and list(row.values.values()) == scores
        assert row.mean == pytest.approx(np.mean(scores))
        assert row.std == pytest.approx(np.std(scores, ddof=1))


def test_every_row_is_compared_with_the_baseline_trained_once(folder):
    relu, *others = build_record(folder).rows
    assert relu.versus is None
    baseline = SCORES["hinges-3", "relu"]
    p_values = []
    for row in others:
        scores = SCORES[row.cell, row.activation]
        expected = scipy.stats.ttest_rel(scores, baseline)
        span = expected.confidence_interval()
        assert row.versus.label == "relu" and row.versus.pairs == 5
        assert row.versus.t.mean == pytest.approx(np.mean(scores) - np.mean(baseline))
        assert (row.versus.t.low, row.versus.t.high) == pytest.approx((span.low, span.high))
        assert row.versus.p == pytest.approx(expected.pvalue)
        p_values.append(expected.pvalue)
    smaller, larger = sorted(p_values)
    corrected = sorted(row.versus.p_holm for row in others)
    assert corrected == pytest.approx([2 * smaller, max(2 * smaller, larger)])
    # All five differences of 9 hinges have one sign.
    assert others[1].versus.p_sign_flip == 2 / 2**5


def test_a_contender_without_hinges_counts_once_for_the_correction(tiny, tmp_path):
    tiny.write_text(tiny.read_text().replace('"hinged"]', '"hinged", "torch.nn:Tanh"]'))
    tanh = [0.80, 0.83, 0.80, 0.85, 0.80]
    scores = SCORES | {(f"hinges-{count}", "torch.nn:Tanh"): tanh for count in (3, 9, 33)}
    rows = build_record(fill_folder(tmp_path / "tanh", read_study(tiny), scores)).rows
    compared = [row for row in rows if row.versus is not None]
    assert [row.activation for row in compared] == ["hinged", "torch.nn:Tanh", "hinged"]
    smallest = min(row.versus.p for row in compared)
    assert min(row.versus.p_holm for row in compared) == pytest.approx(3 * smallest)


def test_a_seed_that_diverged_is_left_out_of_the_pairs(tiny, tmp_path):
    scores = {**SCORES, ("hinges-9", "hinged"): [0.86, float("nan"), 0.89, 0.90, 0.84]}
    found = build_record(fill_folder(tmp_path / "nan", read_study(tiny), scores))
    row = found.rows[2]
    assert row.values[1] is None and row.versus.pairs == 4 and row.diverged == (1,)
    assert row.mean == pytest.approx(np.mean([0.86, 0.89, 0.90, 0.84]))
    assert row.std == pytest.approx(np.std([0.86, 0.89, 0.90, 0.84], ddof=1))
    assert StudyRecord.model_validate_json(found.model_dump_json()) == found


def test_against_the_first_cell(tiny, tmp_path):
    text = tiny.read_text().replace("[settings]", 'against = "first"\n[settings]')
    text = text.replace('hinged"]', 'hinged"]\nbaseline = "hinged"', 1)
    tiny.write_text(text)
    found = build_record(fill_folder(tmp_path / "first", read_study(tiny)))
    labels = {row.title: row.versus and row.versus.label for row in found.rows}
    assert labels == {
        "relu": "hinged (hinges 3)",
        "hinged (hinges 3)": None,
        "hinged (hinges 9)": "hinged (hinges 3)",
    }


def test_against_the_first_variant_at_the_same_point(contenders):
    found = build_record(contenders)
    assert found.baseline == "hinged"
    labels = [(row.label, row.activation, row.versus and row.versus.label) for row in found.rows]
    first = "hinged (train-size {}, head and curves)"
    assert labels == [
        (f"train-size {size}, {variant}", activation, reference)
        for size in (100, 200)
        for variant, activation, reference in [
            ("head and curves", "hinged", None),
            ("head", "relu", first.format(size)),
            ("everything", "relu", first.format(size)),
            ("everything", "hinged", first.format(size)),
        ]
    ]
    assert found.rows[1].versus.t.mean == pytest.approx(-0.1)


def test_failures_are_in_the_record(folder):
    run = RunFolder(folder.path / "cells" / "hinges-33")
    trial = run.experiment.trials[0]
    failure = make_failure("hinged", 0)
    run.save_failure(trial, failure)
    assert build_record(folder).failures == [failure]


def test_a_real_run_is_recorded_with_all_that_made_it(finished):
    found = build_record(finished)
    assert [row.n for row in found.rows] == [3, 3, 3]
    assert {len(row.data_digest) for row in found.rows} == {64}
    assert found.cells["hinges-9"]["curves"]["hinges"] == 9
    (about,) = found.environments
    assert about["torch"] and about["commit"] and about["processor"]
    assert all(len(row.dead) == 1 and 0 <= row.dead[0] <= 1 for row in found.rows)
    plain = json.loads(found.model_dump_json())
    assert plain["rows"][1]["activation_parameters"] == 2 * 2 * 3
    assert StudyRecord.model_validate(plain) == found


def test_a_folder_without_results_is_refused(tiny, tmp_path):
    with pytest.raises(errors.RunFolderError, match="no finished training"):
        build_record(fill_folder(tmp_path / "empty", read_study(tiny), {}))


def test_advice_is_counted_over_the_trainings(finished):
    rows = {
        row.label: row.advice for row in build_record(finished).rows if row.activation == "hinged"
    }
    assert rows["hinges 3"]["few hinges"] == 1.0
    assert "few hinges" not in rows["hinges 9"]
