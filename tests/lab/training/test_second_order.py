import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.training import fit, second_order
from hinged.optim import METHODS

MOLF = TrainingSettings(optimizer="owo-molf")
NETWORK = NetworkSettings(kind="bypass-mlp", width=5, depth=1)


def network(activation="hinged", **curves):
    factory = ACTIVATIONS[activation](CurveSettings(**curves))
    return catalogue.build_network(NETWORK, data.load_data_set("diabetes"), factory, 0)


def train(model, optimizer="owo-molf", epochs=3, **kwargs):
    settings = TrainingSettings(optimizer=optimizer, epochs=epochs)
    return fit.train_network(model, data.load_data_set("diabetes"), settings, 0, **kwargs)


@pytest.mark.parametrize("optimizer", METHODS)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "hinged"])
def test_every_method_trains_every_activation_and_reports(optimizer, activation):
    epochs = []
    outcome = train(network(activation), optimizer, on_epoch=epochs.append)
    assert epochs == [1, 2, 3]
    assert len(outcome.loss) == len(outcome.test_scores) == len(outcome.dead_units) == 3
    assert outcome.loss[-1] <= outcome.loss[0] < 1
    assert outcome.train_score > 0.2 and outcome.test_score in outcome.test_scores
    assert 0 < outcome.step_ms < 1000 * outcome.seconds
    assert all(p.dtype == torch.float32 for p in outcome.model.parameters())


def test_the_loss_is_the_mean_squared_error_that_other_trainings_record():
    outcome = train(network(), epochs=1)
    whole = data.load_data_set("diabetes")
    kept, _ = second_order._split_rows(whole, 0)
    with torch.no_grad():
        outputs = outcome.model(whole.x_train[kept])
    loss = torch.nn.functional.mse_loss(outputs, whole.y_train[kept])
    assert outcome.loss[0] == pytest.approx(loss.item(), rel=1e-4)


def test_a_ninth_is_for_validation_and_depends_on_the_seed():
    whole = data.load_data_set("diabetes")
    kept, held_out = second_order._split_rows(whole, 0)
    assert len(held_out) == round(len(whole.x_train) / 9)
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(whole.x_train)))
    assert not torch.equal(held_out, second_order._split_rows(whole, 1)[1])


def test_frozen_curves_train_like_the_function_they_start_as():
    frozen, relu = train(network(trained=False)), train(network("relu"))
    assert frozen.loss == pytest.approx(relu.loss, rel=1e-9)
    assert train(network()).loss != pytest.approx(relu.loss, rel=1e-3)


def test_two_trainings_are_equal():
    assert train(network()).loss == train(network()).loss


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_network_is_trained_by_gradients_as_well(optimizer):
    outcome = train(network(), optimizer, epochs=10)
    assert outcome.train_score > 0.3


def refused(settings=MOLF, model=None, name="diabetes"):
    with pytest.raises(errors.ArgumentError) as raised:
        fit.check_training(model or network(), data.load_data_set(name), settings)
    return str(raised.value)


def test_unsupported_data_networks_and_settings_are_errors():
    assert "on regressions" in refused(name="digits")
    assert "bypass-mlp" in refused(model=torch.nn.Linear(10, 1))
    assert "only curves can be trained" in refused(model=network("prelu"))
    settings = TrainingSettings(optimizer="lm", calibrate_after=0.2)
    assert "got training.calibrate_after" in refused(settings)
    with pytest.raises(errors.UnknownNameError, match="did you mean 'owo-molf'"):
        build_experiment(training={"optimizer": "molf"})


def test_each_seed_tests_on_its_own_fold(tmp_path):
    setup = build_experiment(
        data="diabetes",
        folds=3,
        network=NETWORK.model_dump(),
        training={"optimizer": "owo-molf", "epochs": 2},
        activations=("relu", "hinged"),
        seeds=(0, 1),
    )
    results = compare(setup, RunFolder(tmp_path / "run"), ProgressListener())
    assert [result.fold for result in results] == [0, 0, 1, 1]
    assert {result.data_digest for result in results} == {data.load_data_set("diabetes").digest}
    assert results[0].data_about.endswith("fold 1 of 3 to test on")
    assert results[0].initial_weights == results[1].initial_weights
    more = setup.model_copy(update={"seeds": (2,)})
    assert len(compare(more, RunFolder(tmp_path / "run"), ProgressListener())) == 6
    other = setup.model_copy(update={"folds": 4})
    with pytest.raises(errors.RunFolderError, match="folds is 3, not 4"):
        compare(other, RunFolder(tmp_path / "run"), ProgressListener())


def test_a_fold_is_not_tested_twice():
    with pytest.raises(errors.ArgumentError, match="got 4 seeds for 3 folds"):
        build_experiment(data="diabetes", folds=3, seeds=range(4))
