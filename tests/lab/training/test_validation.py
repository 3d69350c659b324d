import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hinged import errors
from hinged.lab import data
from hinged.lab.data.validation_split import Samples, hold_out
from hinged.lab.experiment.torchrun import TorchrunProcess
from hinged.lab.training import fit
from hinged.lab.training.validation import Validation
from tests.lab.training.trainings import SETTINGS, network, train

HELD_OUT = {"validation": 0.2}
BEST = {"validation": 0.2, "keep_best": True, "lr": 0.05, "epochs": 5}


def train_table(**kwargs):
    """Train with settings with which the second of five epochs is the best."""
    model = network("prelu", "diabetes", "mlp", width=16, batch_norm=True)
    return train(model, "diabetes", seed=1, settings=BEST, **kwargs)


def score_epochs(scores, keep_best=True):
    """The callback after epochs with these scores, and a network whose weight is the epoch."""
    callback, model = (
        Validation(Samples(torch.zeros(2), torch.zeros(2)), keep_best),
        nn.Linear(1, 1),
    )
    module = SimpleNamespace(
        model=model, data=SimpleNamespace(metric="accuracy"), log=lambda *_, **__: None
    )
    for epoch, score in enumerate(scores, start=1):
        nn.init.constant_(model.weight, epoch)
        module.score = lambda x, y, score=score: score
        callback.on_train_epoch_end(None, module)
    return callback, model


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.3, 0.2], 2), ([0.3, 0.3], 1), ([math.nan, -2.0, math.nan], 2), ([-math.inf], None)],
)
def test_the_first_epoch_with_the_best_score_is_kept(scores, best):
    callback, model = score_epochs(scores)
    assert callback.best_epoch == best and callback.scores == pytest.approx(scores, nan_ok=True)
    callback.restore_best(model)
    assert model.weight.item() == (best or len(scores))


def test_without_keep_best_the_last_epoch_stays():
    callback, model = score_epochs([0.3, 0.1], keep_best=False)
    callback.restore_best(model)
    assert callback.best_epoch is None and model.weight.item() == 2


def test_a_checkpoint_holds_the_best_epoch():
    callback, model = score_epochs([0.1, 0.3, 0.2])
    resumed = Validation(callback.samples, True)
    resumed.load_state_dict(callback.state_dict())
    resumed.restore_best(model)
    assert model.weight.item() == 2 and resumed.scores == callback.scores


def test_held_out_samples_are_scored_after_each_epoch_and_never_trained_on(monkeypatch):
    seen = []
    batches = fit.Batches
    monkeypatch.setattr(
        fit, "Batches", lambda data, *a, **k: seen.append(data) or batches(data, *a, **k)
    )
    result = train(network("relu"), seed=5, settings=HELD_OUT)
    training, held_out = hold_out(data.load_data_set("digits"), 0.2, 5)
    assert torch.equal(seen[0].x_train, training.x_train)
    assert len(result.validation_scores) == SETTINGS.epochs and result.best_epoch is None
    outputs = result.model(training.to_inputs(held_out.x))
    assert training.score(outputs, held_out.y) == pytest.approx(result.validation_scores[-1])
    assert result.test_score == result.test_scores[-1]


def test_every_process_holds_out_the_same_samples(monkeypatch):
    held_out = []
    for rank in (0, 1):
        monkeypatch.setattr(fit, "torchrun_process", lambda rank=rank: TorchrunProcess(rank, 1, 1))
        monkeypatch.setattr(
            fit, "Validation", lambda samples, _: held_out.append(samples.x) or 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            train(network("relu"), seed=2, settings=HELD_OUT)
    assert torch.equal(*held_out)


def test_the_kept_network_is_that_of_the_best_validation_epoch():
    result, table = train_table(), data.load_data_set("diabetes")
    best = max(result.validation_scores)
    assert result.best_epoch == 2 and result.validation_scores[1] == best
    _, held_out = hold_out(table, 0.2, 1)
    assert table.score(result.model(held_out.x), held_out.y) == pytest.approx(best)
    assert table.score(result.test_outputs, table.y_test) == result.test_score
    assert result.test_score == result.test_scores[1] != max(result.test_scores)


@pytest.mark.parametrize("last", [1, 3], ids=["before the best epoch", "after it"])
def test_a_resumed_training_keeps_the_same_epoch(tmp_path, last):
    whole = train_table()

    def stop(epoch):
        if epoch == last + 1:
            raise KeyError

    with pytest.raises(KeyError):
        train_table(checkpoints=tmp_path, on_epoch=stop)
    assert (tmp_path / "last.ckpt").exists()
    resumed = train_table(checkpoints=tmp_path)
    assert resumed.validation_scores == whole.validation_scores
    assert (resumed.best_epoch, resumed.test_score) == (whole.best_epoch, whole.test_score)
    state = resumed.model.state_dict()
    assert all(torch.equal(state[name], each) for name, each in whole.model.state_dict().items())


def test_an_epoch_before_calibration_is_restored_with_its_hinges():
    settings = {**BEST, "calibrate_after": 0.4}
    model = network()
    result = train(model, settings=settings)
    digits = data.load_data_set("digits")
    _, held_out = hold_out(digits, 0.2, 0)
    outputs = result.model(digits.to_inputs(held_out.x))
    assert digits.score(outputs, held_out.y) == pytest.approx(max(result.validation_scores))


def test_too_few_samples_are_refused_before_the_training():
    settings = SETTINGS.model_copy(update={"validation": 0.01})
    with pytest.raises(errors.ArgumentError, match="hold out at least 2 samples"):
        fit.check_training(network(), data.load_data_set("digits", train_size=50), settings)
