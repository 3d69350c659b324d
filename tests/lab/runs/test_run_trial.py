import math

import pytest
import sklearn.metrics

from hinged.lab.experiment.schema import Trial
from hinged.lab.experiment.settings import merge_settings
from hinged.lab.runs import run_trial as run_trial_module
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.run_trial import load_data_and_weights, run_trial
from tests.lab.helpers import make_result


def finish(**settings):
    experiment = build_experiment(**settings)
    loaded = load_data_and_weights(experiment)
    trial = Trial(activation="hinged", seed=0)
    return run_trial(experiment, trial, loaded), loaded.data


def test_the_confusion_matrix_and_the_scores_are_those_of_the_trained_network(small):
    finished, data = finish(**small.model_dump(exclude={"activations", "seeds"}))
    counts = finished.predictions.counts
    assert counts.sum(dim=1).tolist() == data.y_test.bincount(minlength=10).tolist()
    assert counts.diag().sum().item() / counts.sum().item() == finished.result.test_score
    predicted = finished.model(data.to_inputs(data.x_test)).argmax(dim=1)
    assert finished.result.other_scores == {
        "balanced accuracy": sklearn.metrics.balanced_accuracy_score(data.y_test, predicted),
        "macro F1": sklearn.metrics.f1_score(data.y_test, predicted, average="macro"),
    }


def test_a_fold_holds_out_samples_of_its_own_training_split():
    settings = {"validation": 0.2, "keep_best": True, "lr": 0.1, "epochs": 3}
    finished, data = finish(data="diabetes", network={"kind": "mlp"}, folds=10, training=settings)
    result = finished.result
    assert result.fold == 0 and len(result.validation_scores) == 3
    assert result.validation_score == max(result.validation_scores)
    assert result.test_score == result.test_scores[result.scored_epoch]
    assert result.data_digest == data.digest


def test_the_head_alone_is_not_trained_on_held_out_samples(monkeypatch):
    sizes = []

    def stop(_model, _head, data, *_):
        sizes.append(len(data.x_train))
        raise KeyError

    monkeypatch.setattr(run_trial_module, "train_head", stop)
    for share, size in ((0.0, 100), (0.25, 75)):
        with pytest.raises(KeyError):
            finish(train_size=100, training={"head_epochs": 1, "validation": share})
        assert sizes[-1] == size


def test_a_trial_uses_and_records_the_settings_of_its_activation(small):
    own = {"training": {"lr": 0.001}, "curves": {"hinges": 5}}
    overridden, _ = finish(**small.model_dump() | {"overrides": {"hinged": own}})
    plain, _ = finish(**merge_settings(small.model_dump(), own))
    assert overridden.result.loss == plain.result.loss
    recorded = overridden.result.experiment
    assert recorded["training"]["lr"] == 0.001 and recorded["curves"]["hinges"] == 5
    assert recorded["overrides"] == {}


@pytest.mark.parametrize(
    ("changes", "score", "epoch"),
    [
        ({}, None, 1),
        ({"validation_scores": [0.3, 0.2]}, 0.2, 1),
        ({"validation_scores": [0.3, 0.2], "best_epoch": 1}, 0.3, 0),
        ({"validation_scores": [0.3, 0.2], "loss": [1.0, math.nan]}, math.nan, 1),
    ],
)
def test_the_validation_score_is_that_of_the_scored_network(changes, score, epoch):
    result = make_result().model_copy(update={"loss": [1.0, 0.5], **changes})
    assert result.validation_score == (
        score if score is None else pytest.approx(score, nan_ok=True)
    )
    assert result.scored_epoch == epoch


@pytest.mark.parametrize("optimizer", ["adamw", "owo-molf"])
def test_the_kept_numbers_and_the_rmse_are_those_of_the_trained_network(optimizer):
    network = {"kind": "bypass-mlp", "width": 4, "depth": 1}
    training = {"epochs": 2, "optimizer": optimizer}
    finished, data = finish(data="diabetes", network=network, training=training)
    kept, scores = finished.predictions, finished.result.other_scores
    assert len(kept.targets) == len(data.y_test)
    rmse = sklearn.metrics.root_mean_squared_error(kept.targets, kept.outputs)
    assert scores == {"RMSE": pytest.approx(rmse, rel=1e-5)}
    r2 = sklearn.metrics.r2_score(kept.targets, kept.outputs)
    assert r2 == pytest.approx(finished.result.test_score, abs=1e-5)


def test_a_diverged_training_keeps_no_predictions():
    training = {"epochs": 1, "lr": 1e30, "gradient_clip": 0.0, "optimizer": "sgd"}
    network = {"kind": "mlp", "width": 4, "depth": 1}
    finished, _ = finish(data="diabetes", network=network, training=training)
    assert math.isnan(finished.result.test_score)
    assert finished.predictions is None and finished.result.other_scores == {}


def trained_by(activation, seed=0, **training):
    """The network and the result of a short training of a small CNN that started with its head."""
    settings = {"network": {"kind": "cnn", "width": 2, "depth": 1}, "data": "digits"}
    training = {"epochs": 1, "batch_size": 128, "lr": 1e-9, "head_epochs": 2, **training}
    experiment = build_experiment(
        **settings, activations=(activation,), baseline=activation, training=training
    )
    loaded = load_data_and_weights(experiment)
    return run_trial(experiment, Trial(activation=activation, seed=seed), loaded)


def test_all_activations_start_from_the_same_trained_head():
    parts = {"relu": "head", "hinged": "head+curves", "curvature_tuning": "head+curves"}
    done = {name: trained_by(name, trains=trains) for name, trains in parts.items()}
    assert len({each.result.initial_weights for each in done.values()}) == 1
    untrained = trained_by("relu", trains="head", head_epochs=0)
    assert untrained.result.initial_weights != done["relu"].result.initial_weights
    assert done["relu"].result.loss[0] < untrained.result.loss[0]
    assert trained_by("relu", trains="head", lr=2e-9).result.initial_weights == (
        done["relu"].result.initial_weights
    )
    other = trained_by("relu", seed=1, trains="head").result.initial_weights
    assert other != done["relu"].result.initial_weights


def test_a_network_with_lora_is_returned_with_its_own_weights_and_counts_what_was_trained():
    done = trained_by("relu", trains="head+lora", lr=0.01, lora_rank=2)
    plain = trained_by("relu", trains="head")
    assert done.model.state_dict().keys() == plain.model.state_dict().keys()
    head = 10 * 2 * 4 * 4 + 10
    assert plain.result.parameters == head
    assert done.result.parameters == head + 2 * (2 + 9) + 2 * (2 + 18)
    assert not done.model[0].weight.equal(plain.model[0].weight)
    assert done.model[0].bias.equal(plain.model[0].bias)
