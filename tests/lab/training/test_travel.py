import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.training.travel import describe_still_curves
from hinged.nn.travel import MIN_TRAVEL
from tests.lab.training.trainings import SETTINGS, network, train

SAMPLES = len(data.load_data_set("digits").x_train)


def describe(**training):
    experiment = build_experiment(training={**SETTINGS.model_dump(), **training})
    return describe_still_curves(experiment, SAMPLES)


def trained_sum(**settings):
    """The sum of the learning rates of the curves over a training."""
    rates = []

    def record(optimizer, *_):
        rates.append(next(g["lr"] for g in optimizer.param_groups if g["name"] == "curves"))

    hook = register_optimizer_step_pre_hook(record)
    train(network(), settings=settings)
    hook.remove()
    return sum(rates), len(rates)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 1},
        {"epochs": 2, "optimizer": "sgd", "batch_size": 100},
        {"epochs": 1, "steps_per_epoch": 5},
        {"epochs": 2, "validation": 0.3},
    ],
)
def test_the_limit_is_the_sum_of_the_rates_of_a_training(settings):
    total, steps = trained_sum(**settings, curve_lr_factor=1.0)
    short, enough = (MIN_TRAVEL / total * each for each in (0.98, 1.02))
    assert describe(**settings, curve_lr_factor=enough) is None
    text = describe(**settings, curve_lr_factor=short)
    assert text.startswith("Curves can travel at most 0.098 times the scale of their inputs in")
    assert f"in {steps} steps" in text
    assert f"raise training.curve_lr_factor from {short:.2g} to" in text


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({"lr": 0.006}, 0.024),
        ({"lr": 0.03}, 0.05),
        ({"lr": 0.03, "curve_lr_factor": 4.0}, 0.12),
        ({"lr": 0.03, "curve_metric": False}, 0.06),
        ({"lr": 0.5, "optimizer": "sgd"}, 0.05),
    ],
)
def test_the_largest_rate_is_the_default_of_param_groups_or_a_multiple(settings, rate):
    total, _ = trained_sum(epochs=1, **settings)
    unit, _ = trained_sum(epochs=1, lr=1.0, curve_lr_factor=1.0)
    assert total / rate == pytest.approx(unit)


STILL = {"epochs": 1, "curve_lr_factor": 1e-4}


@pytest.mark.parametrize(
    "training",
    [
        {"curve_metric": False},
        {"trains": "head"},
        {"trains": "head+norm"},
        {"optimizer": "owo-molf"},
    ],
)
def test_curves_that_are_not_trained_in_their_metric_are_not_described(training):
    assert describe(**STILL) is not None and describe(**STILL, trains="head+curves") is not None
    assert describe(**STILL, **training) is None


def test_other_activations_and_frozen_curves_are_not_described():
    still = build_experiment(training={**SETTINGS.model_dump(), **STILL})
    for change in ({"activations": ("relu", "prelu")}, {"curves": CurveSettings(trained=False)}):
        assert describe_still_curves(still.model_copy(update=change), SAMPLES) is None


def test_the_settings_of_curves_alone_count():
    still = {"training": {"curve_lr_factor": 1e-4}}
    for activation, expected in (("relu", False), ("hinged", True)):
        experiment = build_experiment(overrides={activation: still})
        assert (describe_still_curves(experiment, SAMPLES) is not None) == expected
