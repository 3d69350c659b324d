import csv
import sys

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from hinged import errors
from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.training import backward_memory, fit, freezing, loggers
from hinged.nn import PiecewiseLinear, penalty

SETTINGS = TrainingSettings(epochs=3, batch_size=64, lr=0.02)


def network(activation="hinged", name="digits", kind="cnn"):
    factory = ACTIVATIONS[activation](CurveSettings())
    settings = NetworkSettings(kind=kind, width=4, depth=1)
    return catalogue.build_network(settings, data.load_data_set(name), factory, 0)


def train(model, name="digits", **kwargs):
    return fit.train_network(model, data.load_data_set(name), SETTINGS, 0, **kwargs)


def test_training_learns_and_reports():
    epochs = []
    outcome = train(network(), on_epoch=epochs.append)
    assert epochs == [1, 2, 3]
    assert len(outcome.loss) == len(outcome.test_scores) == 3
    assert outcome.loss[-1] < outcome.loss[0] / 2
    assert outcome.test_score == outcome.test_scores[-1] > 0.5
    assert 0 < outcome.step_ms < 1000 * outcome.seconds


def test_regression_learns():
    outcome = train(network(name="diabetes", kind="mlp"), "diabetes")
    assert outcome.train_score > 0.1


def test_twice_the_same_is_the_same_to_the_last_bit():
    first, second = train(network()), train(network())
    assert first.loss == second.loss and first.test_scores == second.test_scores
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


class _Stop(Exception):
    pass


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    def stop_after_two(epoch):
        if epoch == 2:
            raise _Stop

    uninterrupted = train(network())
    with pytest.raises(_Stop):
        train(network(), checkpoints=tmp_path, on_epoch=stop_after_two)
    assert (tmp_path / "last.ckpt").exists()
    seen = []
    resumed = train(network(), checkpoints=tmp_path, on_epoch=seen.append)
    assert seen[-1] == 3 and len(seen) < 3
    assert resumed.loss == uninterrupted.loss
    assert resumed.test_scores == uninterrupted.test_scores


def test_an_augmented_training_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    def stop_after_two(epoch):
        if epoch == 2:
            raise _Stop

    settings = SETTINGS.model_copy(update={"augment": ("crop", "flip", "cutout")})

    def trained(**kwargs):
        return fit.train_network(network(), data.load_data_set("digits"), settings, 0, **kwargs)

    uninterrupted = trained()
    assert uninterrupted.loss != train(network()).loss
    with pytest.raises(_Stop):
        trained(checkpoints=tmp_path, on_epoch=stop_after_two)
    resumed = trained(checkpoints=tmp_path)
    assert resumed.loss == uninterrupted.loss


def test_training_leaves_torchs_switches_alone():
    flags = torch.utils.deterministic
    train(network())
    assert not torch.are_deterministic_algorithms_enabled() and flags.fill_uninitialized_memory


def test_memory_for_backward_counts_what_a_layer_keeps():
    x = torch.randn(8, 3)
    linear = nn.Linear(3, 5)
    # A linear layer keeps its input; a ReLU its output; nothing is counted twice.
    assert backward_memory.memory_for_backward(linear, x) == 8 * 3 * 4
    stack = nn.Sequential(linear, nn.ReLU())
    assert backward_memory.memory_for_backward(stack, x) == 8 * 3 * 4 + 8 * 5 * 4


def test_memory_for_backward_changes_nothing():
    model = network("prelu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    backward_memory.memory_for_backward(model, torch.randn(16, 1, 8, 8))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def curves_of(model):
    return [module for module in model.modules() if isinstance(module, PiecewiseLinear)]


def test_frozen_curves_are_the_function_they_started_as():
    factory = ACTIVATIONS["hinged"](CurveSettings(trained=False))
    settings = NetworkSettings(width=4, depth=1)
    model = catalogue.build_network(settings, data.load_data_set("digits"), factory, 0)
    frozen, relu = train(model), train(network("relu"))
    assert frozen.loss == relu.loss and frozen.test_scores == relu.test_scores


def test_a_penalty_on_curvature_straightens_the_curves():
    free = train(network()).model
    settings = SETTINGS.model_copy(update={"curve_penalty": 0.3})
    held = fit.train_network(network(), data.load_data_set("digits"), settings, 0).model
    assert penalty(held).item() < 0.9 * penalty(free).item()


def test_warm_up_moves_the_hinges_to_the_inputs():
    settings = SETTINGS.model_copy(update={"calibrate_after": 0.2})
    model = network()
    before = [layer.hinges.clone() for layer in curves_of(model)]
    warm = fit.train_network(model, data.load_data_set("digits"), settings, 0).model
    assert all(
        not torch.equal(layer.hinges, old)
        for layer, old in zip(curves_of(warm), before, strict=True)
    )


@pytest.mark.parametrize(("trains", "moves"), [("head", {"7"}), ("head+curves", {"2", "5", "7"})])
def test_what_is_not_trained_stays_to_the_last_bit(trains, moves):
    factory = ACTIVATIONS["hinged"](CurveSettings())
    network = NetworkSettings(width=2, depth=1, batch_norm=True)
    model = catalogue.build_network(network, data.load_data_set("digits"), factory, 0)
    model = nn.Sequential(*model[:6], model[6], nn.Sequential(*model[7:]))
    freezing.freeze(model, trains, ["7.1"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = fit.train_network(model, data.load_data_set("digits"), SETTINGS, 0).model.state_dict()
    moved = {name for name, tensor in trained.items() if not torch.equal(tensor, before[name])}
    assert {name.partition(".")[0] for name in moved} == moves


def test_settings_of_curves_leave_other_networks_alone():
    settings = SETTINGS.model_copy(update={"calibrate_after": 0.2, "curve_penalty": 0.3})
    same = fit.train_network(network("relu"), data.load_data_set("digits"), settings, 0)
    assert same.loss == train(network("relu")).loss


def test_idle_units_are_counted_after_every_epoch():
    outcome = train(network("relu"))
    assert len(outcome.dead_units) == 3
    assert all(0 <= each.dead <= each.dormant <= 1 for each in outcome.dead_units)


class Spy(nn.Module):
    """Notes dtype and layout of what the layer behind it is given, and stays out of the way."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.seen = set()
        model[1].register_forward_pre_hook(lambda module, x: self.seen.add(self.kind(x[0])))

    @staticmethod
    def kind(x):
        return x.dtype, x.is_contiguous(memory_format=torch.channels_last)

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, (torch.float32, False)),
        ({"precision": "bf16"}, (torch.bfloat16, False)),
        ({"channels_last": True}, (torch.float32, True)),
        ({"precision": "bf16", "channels_last": True}, (torch.bfloat16, True)),
    ],
)
def test_precision_and_layout_reach_the_activations_in_training_and_scoring(change, kind):
    spy = Spy(network())
    settings = SETTINGS.model_copy(update=change)
    outcome = fit.train_network(spy, data.load_data_set("digits"), settings, 0)
    assert spy.seen == {kind}
    assert outcome.test_score > 0.5
    assert all(p.dtype == torch.float32 for p in outcome.model.parameters())


def test_label_smoothing_is_in_the_loss_of_classes_alone():
    smooth = SETTINGS.model_copy(update={"label_smoothing": 0.2})
    plain = train(network()).loss
    assert fit.train_network(network(), data.load_data_set("digits"), smooth, 0).loss[0] > plain[0]
    straight = train(network(name="diabetes", kind="mlp"), "diabetes").loss
    model = network(name="diabetes", kind="mlp")
    assert fit.train_network(model, data.load_data_set("diabetes"), smooth, 0).loss == straight


@pytest.mark.parametrize(("clip", "least", "most"), [(0.0, 10, 1e9), (0.5, 0.4999, 0.5001)])
def test_long_gradients_are_scaled_down_to_the_clip(clip, least, most):
    norms = []

    def note(optimizer, *_):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())

    class Loud(nn.Sequential):
        def forward(self, x):
            return 1000 * super().forward(x)

    hook = register_optimizer_step_post_hook(note)
    settings = SETTINGS.model_copy(update={"gradient_clip": clip, "epochs": 1})
    fit.train_network(Loud(network()), data.load_data_set("digits"), settings, 0)
    hook.remove()
    assert least < max(norms) < most


def test_what_dropout_draws_follows_from_the_seed_alone(tmp_path):
    def dropping():
        return nn.Sequential(network(), nn.Dropout(0.5))

    first = fit.train_network(dropping(), data.load_data_set("digits"), SETTINGS, 3).loss
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert fit.train_network(dropping(), data.load_data_set("digits"), SETTINGS, 3).loss == first
    assert torch.equal(torch.get_rng_state(), before)

    def stop_after_two(epoch):
        if epoch == 2:
            raise _Stop

    kwargs = {"checkpoints": tmp_path}
    with pytest.raises(_Stop):
        fit.train_network(
            dropping(), data.load_data_set("digits"), SETTINGS, 3, on_epoch=stop_after_two, **kwargs
        )
    torch.rand(5)
    assert (
        fit.train_network(dropping(), data.load_data_set("digits"), SETTINGS, 3, **kwargs).loss
        == first
    )


def test_a_logger_is_told_scores_rates_and_what_curves_do(tmp_path):
    outcome = train(network(), logger=loggers.make_logger("csv", tmp_path / "logs"))
    (table,) = (tmp_path / "logs").rglob("metrics.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))

    def column(name):
        return [float(row[name]) for row in rows if row[name]]

    assert column("loss") == pytest.approx(outcome.loss)
    assert column("test_accuracy") == pytest.approx(outcome.test_scores)
    for name in ("lr-AdamW/weights", "curves/model.1/dead"):
        assert len(column(name)) == SETTINGS.epochs


def test_a_logger_changes_nothing(tmp_path):
    quiet, logged = train(network()), train(network(), logger=loggers.make_logger("csv", tmp_path))
    assert logged.loss == quiet.loss and logged.test_scores == quiet.test_scores


def test_a_logger_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(errors.MissingExtraError, match="`pip install wandb`, or use csv"):
        loggers.make_logger("wandb", tmp_path)


@pytest.mark.slow
def test_a_compiled_training_learns_the_same(tmp_path):
    settings = SETTINGS.model_copy(update={"compile": True, "epochs": 2})
    plain = fit.train_network(
        network(), data.load_data_set("digits"), settings.model_copy(update={"compile": False}), 0
    )
    logger = loggers.make_logger("csv", tmp_path)
    compiled = fit.train_network(
        network(), data.load_data_set("digits"), settings, 0, logger=logger
    )
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-3)
    assert compiled.test_score == pytest.approx(plain.test_score, abs=0.02)


@pytest.mark.parametrize(("name", "error"), [("csv", "training by lm logs"), ("cvs", "csv")])
def test_what_cannot_be_logged(name, error):
    with pytest.raises(errors.HingedError, match=error):
        loggers.check_logger(name, "lm")


def test_a_compiled_network_cannot_be_watched():
    settings = SETTINGS.model_copy(update={"compile": True, "calibrate_after": 0.1})
    with pytest.raises(errors.ArgumentError, match="take one of them"):
        fit.check_training(network(), data.load_data_set("digits"), settings)
