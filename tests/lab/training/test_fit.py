import csv
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hinged import errors
from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.training import fit, freezing, loggers
from hinged.nn import PiecewiseLinear
from tests.lab.training.trainings import SETTINGS, network, train


@pytest.mark.slow
def test_training_learns_and_reports_each_epoch():
    epochs = []
    result = train(network(), on_epoch=epochs.append)
    assert epochs == [1, 2, 3]
    assert len(result.loss) == len(result.test_scores) == 3
    assert result.loss[-1] < result.loss[0] / 2
    assert result.test_score == result.test_scores[-1] > 0.5
    assert 0 < result.step_ms < 1000 * result.seconds


def test_regression_learns():
    result = train(network(name="diabetes", kind="mlp"), "diabetes")
    assert result.train_score > 0.1


def test_an_epoch_has_the_given_number_of_steps():
    result = train(network("relu"), settings={"epochs": 2, "steps_per_epoch": 3})
    assert len(result.test_scores) == 2
    longer = train(network("relu"), settings={"epochs": 2, "steps_per_epoch": 17})
    assert longer.loss[-1] < result.loss[-1]


@pytest.mark.slow
def test_two_trainings_are_bitwise_equal_and_restore_torchs_switches(trained_curves):
    again = train(network())
    assert again.loss == trained_curves.loss and again.test_scores == trained_curves.test_scores
    pairs = zip(again.model.parameters(), trained_curves.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    flags = torch.utils.deterministic
    assert not torch.are_deterministic_algorithms_enabled() and flags.fill_uninitialized_memory


class StopTraining(Exception):
    pass


def stop_after_two(epoch):
    if epoch == 2:
        raise StopTraining


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"augment": ("crop", "flip", "cutout")},
        {"steps_per_epoch": 13, "calibrate_after": 0.2},
    ],
    ids=str,
)
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, settings):
    """The order of the samples, augmentation and dropout follow from the seed alone."""

    def train_with_dropout(**kwargs):
        model = nn.Sequential(network(), nn.Dropout(0.5))
        return train(model, seed=3, settings=settings, **kwargs)

    uninterrupted = train_with_dropout()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    with pytest.raises(StopTraining):
        train_with_dropout(checkpoints=tmp_path, on_epoch=stop_after_two)
    assert (tmp_path / "last.ckpt").exists()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    epochs = []
    resumed = train_with_dropout(checkpoints=tmp_path, on_epoch=epochs.append)
    assert epochs[-1] == 3 and len(epochs) < 3
    assert resumed.loss == uninterrupted.loss
    assert resumed.test_scores == uninterrupted.test_scores
    states = zip(
        resumed.model.state_dict().items(), uninterrupted.model.state_dict().values(), strict=True
    )
    for (name, one), other in states:
        assert torch.equal(one, other), name


def test_augmentation_changes_the_training(trained_curves):
    settings = {"augment": ("crop", "flip", "cutout")}
    assert train(network(), settings=settings).loss != trained_curves.loss


def test_frozen_curves_train_like_the_function_they_start_as(trained_relu):
    frozen = train(network(curves=CurveSettings(trained=False)))
    assert frozen.loss == trained_relu.loss and frozen.test_scores == trained_relu.test_scores


def test_calibration_moves_the_hinges_to_the_inputs():
    model = network()
    layers = [layer for layer in model.modules() if isinstance(layer, PiecewiseLinear)]
    before = [layer.hinges.clone() for layer in layers]
    train(model, settings={"calibrate_after": 0.2})
    assert not any(
        torch.equal(layer.hinges, old) for layer, old in zip(layers, before, strict=True)
    )


@pytest.mark.parametrize(("trains", "moves"), [("head", {"7"}), ("head+curves", {"2", "5", "7"})])
def test_frozen_parts_stay_bitwise_equal(trains, moves):
    model = network(width=2, batch_norm=True)
    model = nn.Sequential(*model[:6], model[6], nn.Sequential(*model[7:]))
    freezing.freeze(model, trains, ["7.1"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = train(model).model.state_dict()
    moved = {name for name, tensor in trained.items() if not torch.equal(tensor, before[name])}
    assert {name.partition(".")[0] for name in moved} == moves


def test_dead_units_are_counted_after_every_epoch(trained_relu):
    assert len(trained_relu.dead_units) == 3
    assert all(0 <= shares.dead <= shares.dormant <= 1 for shares in trained_relu.dead_units)


def test_a_logger_records_each_epoch_and_does_not_change_the_training(tmp_path, trained_curves):
    logged = train(network(), logger=loggers.make_logger("csv", tmp_path / "logs"))
    assert logged.loss == trained_curves.loss and logged.test_scores == trained_curves.test_scores
    (table,) = (tmp_path / "logs").rglob("metrics.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return [float(row[name]) for row in rows if row[name]]

    assert column("loss") == pytest.approx(logged.loss)
    assert column("test_accuracy") == pytest.approx(logged.test_scores)
    for name in ("lr-AdamW/weights", "curves/model.1/dead"):
        assert len(column(name)) == SETTINGS.epochs


@pytest.mark.slow
def test_a_compiled_training_learns_the_same(tmp_path):
    # 13 full batches: a smaller last batch would be compiled again.
    digits = data.load_data_set("digits", train_size=832)
    settings = SETTINGS.model_copy(update={"epochs": 2})
    plain = fit.train_network(network(), digits, settings, 0)
    settings = settings.model_copy(update={"compile": True})
    logger = loggers.make_logger("csv", tmp_path)
    compiled = fit.train_network(network(), digits, settings, 0, logger=logger)
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-3)
    assert compiled.test_score == pytest.approx(plain.test_score, abs=0.02)


def test_the_inputs_of_a_compiled_network_cannot_be_observed():
    settings = SETTINGS.model_copy(update={"compile": True, "calibrate_after": 0.1})
    with pytest.raises(errors.ArgumentError, match="leave one of the two out"):
        fit.check_training(network(), data.load_data_set("digits"), settings)


def test_processes_that_share_a_training_draw_different_numbers():
    def draw(rank):
        fit.SeedEpochs(3, rank).on_train_epoch_start(SimpleNamespace(current_epoch=1))
        return torch.rand(8)

    with torch.random.fork_rng():
        first, second, again = draw(0), draw(1), draw(0)
    assert torch.equal(first, again) and not torch.equal(first, second)
