import math

import numpy as np
import pytest
import torch

from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.prediction_data import shares_of_classes
from hinged.lab.reporting.report_data import read_report_data
from tests.lab.helpers import make_result
from tests.lab.reporting.invented import ACTIVATIONS, SEEDS, classes_run, numbers_run


def saved(folder, activation):
    trials = (Trial(activation=activation, seed=seed) for seed in SEEDS)
    return [folder.load_predictions(trial) for trial in trials]


def test_the_confusions_of_all_seeds_are_added(tmp_path):
    folder = classes_run(tmp_path / "run")
    data = read_report_data(folder).predictions
    assert list(data.confusions) == list(ACTIVATIONS) and data.numbers == {}
    for activation, matrix in data.confusions.items():
        counts = sum(each.counts.numpy() for each in saved(folder, activation))
        assert matrix.counts.tolist() == counts.tolist()
        found = data.class_accuracies()[activation]
        assert found[:3] == pytest.approx((counts.diagonal() / counts.sum(axis=1).clip(1))[:3])
        assert math.isnan(found[3])


def test_the_pairs_that_are_confused_most_come_first(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run")).predictions
    pairs = data.most_confused(5)
    shares = np.stack([shares_of_classes(m.counts).numpy() for m in data.confusions.values()])
    mean = np.nan_to_num(shares.mean(axis=0))
    np.fill_diagonal(mean, 0)
    expected = sorted(mean.flatten(), reverse=True)[:5]
    assert [np.mean(list(pair.shares.values())) for pair in pairs] == pytest.approx(expected)
    for pair in pairs:
        i, j = data.class_names.index(pair.true), data.class_names.index(pair.predicted)
        assert i != j and list(pair.shares.values()) == shares[:, i, j].tolist()


def test_perfect_predictions_confuse_no_classes(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run")).predictions
    for matrix in data.confusions.values():
        matrix.counts.copy_(torch.eye(4))
    assert data.most_confused() == []


def test_scores_have_their_mean_and_interval_over_seeds(tmp_path):
    folder = classes_run(tmp_path / "run")
    data = read_report_data(folder).predictions
    assert data.score_names == ["balanced accuracy", "macro F1"]
    for activation, scores in data.scores.items():
        own = [r.other_scores["macro F1"] for r in folder.results() if r.activation == activation]
        # Half of the 95 % interval of three values: t(0.975, 2) = 4.3027.
        half = 4.30265 * np.std(own, ddof=1) / 3**0.5
        mean, low, high = scores["macro F1"]
        assert mean == pytest.approx(np.mean(own))
        assert (high - mean, mean - low) == pytest.approx((half, half), rel=1e-4)


def test_numbers_are_those_of_the_first_seed(tmp_path):
    folder = numbers_run(tmp_path / "run")
    data = read_report_data(folder).predictions
    assert data.confusions == {} and data.class_names == () and data.most_confused() == []
    for activation, numbers in data.numbers.items():
        first = saved(folder, activation)[0]
        assert torch.equal(numbers.outputs, first.outputs) and numbers.names == ("price",)


def test_json_holds_scores_and_accuracies_of_classes(tmp_path):
    data = read_report_data(classes_run(tmp_path / "run"))
    found = data.as_json()
    assert found["rows"][0]["activation"] == "relu"
    interval = data.predictions.scores["hinged"]["macro F1"]
    assert found["other_scores"]["hinged"]["macro F1"] == interval._asdict()
    accuracies = found["class_accuracy"]["hinged"]
    assert accuracies["kind <0>"] == data.predictions.class_accuracies()["hinged"][0]
    assert accuracies["kind <3>"] is None


def test_a_run_of_an_earlier_version_has_no_predictions(tmp_path):
    folder = classes_run(tmp_path / "run")
    for seed in SEEDS:
        for activation in ACTIVATIONS:
            trial = Trial(activation=activation, seed=seed)
            (folder.path / "predictions" / f"{trial.key}.safetensors").unlink()
            folder.save_result(trial, make_result(activation, seed), {})
    data = read_report_data(folder).predictions
    assert data.confusions == data.numbers == {} and data.score_names == []


def test_predictions_of_an_earlier_training_of_a_trial_are_removed(tmp_path):
    folder, trial = classes_run(tmp_path), Trial(activation="relu", seed=0)
    folder.save_result(trial, make_result("relu", 0, math.nan), {}, None)
    assert folder.load_predictions(trial) is None and folder.load_curves(trial) == {}
