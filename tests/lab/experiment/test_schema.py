import json
import re

import pytest
import torch

from hinged import errors
from hinged.lab.experiment.schema import Experiment, Trial, read_experiment
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.runs.build_experiment import build_experiment


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": "digit"}, "`data`: got 'digit'; did you mean 'digits'"),
        ({"network": {"kind": "cmn"}}, "`network.kind`: got 'cmn'; did you mean 'cnn'"),
        (
            {"activations": ("relu", "leaky-relu")},
            "`activations`: got 'leaky-relu'; did you mean 'leaky_relu'",
        ),
        ({"curves": {"init": "rleu"}}, "`curves.init`: got 'rleu'; did you mean 'relu'"),
        (
            {"curves": {"tails": "flat"}},
            "`curves.tails`: got 'flat'; did you mean 'constant'? All of: constant, free",
        ),
        ({"activations": ("relu", "relu")}, "list each activation only once"),
        ({"baseline": "gelu"}, "which is not among relu, leaky_relu"),
        (
            {"training": {"epochs": 0}},
            "`training.epochs`: got 0; expected at least 1.",
        ),
        (
            {"training": {"keep_best": True}},
            "`training.keep_best`: got true without validation samples; set training.validation",
        ),
        (
            {"training": {"curve_metric": False, "curve_decay": 0.5}},
            "`training.curve_decay`: got 0.5 with training.curve_metric=false; leave one of",
        ),
        (
            {"overrides": {"hinge": {"training": {"lr": 0.1}}}},
            "`overrides`: got 'hinge'; did you mean 'hinged'",
        ),
        (
            {"overrides": {"hinged": {"network": {"width": 3}}}},
            "`overrides`: got 'network.width'; expected one of: ",
        ),
        (
            {"overrides": {"hinged": {"training": {"epochs": 3}}}},
            "`overrides`: got training.epochs; this setting must be the same for all activations",
        ),
        (
            {"overrides": {"hinged": {"training": {"head_lr": 0.1}}}},
            "`overrides`: got training.head_lr; this setting must be the same for all activations",
        ),
        (
            {"overrides": {"hinged": {"training": {"lr": -1}}}},
            "`training.lr`: got -1; expected more than 0.",
        ),
        ({"curves": {"hinges": 1}}, "`curves.hinges`: got 1; expected at least 2."),
        (
            {"training": {"epochs": 1.5, "lr": -1}},
            "`training.epochs`: got 1.5; expected a whole number. "
            "`training.lr`: got -1; expected more than 0.",
        ),
        ({"training": {"trains": "all"}}, "got 'all'; expected 'everything', 'head', "),
        (
            {"curves": {"low": 3, "high": -3}},
            "`curves.low`: got 3 for the first hinge and -3 for the last; the first number must be",
        ),
        (
            {"curves": {"hinges": 2}},
            "`curves.hinges`: got 2 hinges; a function with a kink at 0 needs at least 3",
        ),
        ({"trainig": {}}, "`trainig`: got {}; there is no such setting: `hinged settings` lists"),
    ],
)
def test_bad_settings_get_a_sentence(values, message):
    with pytest.raises(errors.ArgumentError) as caught:
        build_experiment(**values)
    assert message in str(caught.value)


@pytest.mark.parametrize(("capability", "precision"), [("AVX512", "bf16"), ("AVX2", "float32")])
def test_automatic_precision_is_what_the_machine_is_fast_at(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    chosen = build_experiment(training={"precision": "auto"})
    assert chosen.training.precision == precision  # Named so in every record.
    assert build_experiment(training={"precision": "bf16"}).training.precision == "bf16"


def test_every_setting_has_a_description():
    for settings in (Experiment, NetworkSettings, CurveSettings, TrainingSettings):
        for name, field in settings.model_fields.items():
            assert field.description, f"{settings.__name__}.{name}"


def test_all_faults_are_named_at_once():
    with pytest.raises(errors.ArgumentError) as caught:
        build_experiment(training={"epochs": 0, "lr": -1.0})
    assert "training.epochs" in str(caught.value) and "training.lr" in str(caught.value)


def test_trials_alternate_the_activations():
    trials = Experiment(activations=("relu", "silu"), seeds=(3, 4)).trials
    assert [t.key for t in trials] == ["relu-seed3", "silu-seed3", "relu-seed4", "silu-seed4"]


def test_differences_name_settings_but_not_seeds_and_activations():
    mine = Experiment()
    assert mine.differing_settings(Experiment(seeds=(7, 8), activations=("relu",))) == []
    other = build_experiment(training={"epochs": 99})
    assert mine.differing_settings(other) == [f"training.epochs is {mine.training.epochs}, not 99"]


def test_united_keeps_the_order_and_repeats_nothing():
    held = Experiment(activations=("relu", "hinged"), seeds=(0, 1))
    more = Experiment(activations=("relu", "silu"), seeds=(1, 2))
    united = more.with_trials_of(held)
    assert united.activations == ("relu", "hinged", "silu") and united.seeds == (0, 1, 2)


OWN_RATE = {"hinged": {"training": {"lr": 0.5}}}


def test_overrides_are_settings_of_one_activation():
    made = build_experiment(overrides=OWN_RATE, training={"epochs": 3})
    own, others = made.for_activation("hinged"), made.for_activation("relu")
    assert (own.training.lr, own.training.epochs, own.overrides) == (0.5, 3, {})
    assert others == build_experiment(training={"epochs": 3})
    again = build_experiment(overrides=OWN_RATE, training={"epochs": 3})
    assert len({made, own, others, again}) == 3
    (assigned,) = {build_experiment(['overrides={"hinged": {"training": {"lr": 0.5}}}'])}
    assert assigned == build_experiment(overrides=OWN_RATE)


def test_differences_name_settings_of_activations_that_both_have():
    mine = Experiment(activations=("relu", "hinged"), overrides=OWN_RATE)
    assert mine.differing_settings(Experiment(activations=("relu",))) == []
    phrases = mine.differing_settings(Experiment())
    assert phrases == ["training.lr of hinged is 0.5, not 0.006"]
    same = mine.model_copy(update={"overrides": {**OWN_RATE, "silu": {"training": {"lr": 0.1}}}})
    assert mine.differing_settings(same) == []
    more = Experiment(activations=("silu",), overrides={"silu": {"training": {"lr": 0.1}}})
    assert more.with_trials_of(mine).overrides == same.overrides


def test_config_round_trip(tmp_path):
    written = build_experiment(curves={"hinges": 5}, seeds=(4, 5), overrides=OWN_RATE)
    (tmp_path / "config.json").write_text(written.model_dump_json())
    assert read_experiment(tmp_path / "config.json") == written


def test_assignments_are_laid_over_the_settings():
    made = build_experiment(
        [
            "training.calibrate_after=0.1",
            "curves.trained=false",
            "curves.init=gelu",
            "network.width=3",
        ],
        curves={"hinges": 5},
        network={"width": 2},
    )
    assert made.training.calibrate_after == 0.1 and made.network.width == 3
    assert (made.curves.hinges, made.curves.trained, made.curves.init) == (5, False, "gelu")
    names = build_experiment(['training.augment=["flip"]'])
    assert names.training.augment == ("flip",)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "training.calibrateafter=0.1",
            "`assignments`: got 'training.calibrateafter'; did you mean 'training.calibrate_after'",
        ),
        (
            "calibrate_after=0.1",
            "`assignments`: got 'calibrate_after'; did you mean 'training.calibrate_after'",
        ),
        (
            "training.calibrate_after",
            "`assignments`: got training.calibrate_after; expected NAME=VALUE",
        ),
        ("training.calibrate_after=2", "`training.calibrate_after`: got 2; expected less than 1."),
        (
            "training.calibrate_after=much",
            "`training.calibrate_after`: got 'much'; expected a number.",
        ),
        ("curves.init=rleu", "`curves.init`: got 'rleu'; did you mean 'relu'"),
    ],
)
def test_assignments_that_cannot_work_get_one_sentence(assignment, message):
    with pytest.raises(errors.ArgumentError) as caught:
        build_experiment([assignment])
    assert message in str(caught.value)


def test_activations_with_other_characters_get_different_files():
    keys = {Trial(activation=a, seed=0).key for a in ("a/b.py:f", "a-b.py:f", "a-b.py-f", "relu")}
    assert len(keys) == 4 and "relu-seed0" in keys
    assert all(re.fullmatch(r"[\w.-]+", key) for key in keys)


@pytest.mark.parametrize(("shared", "sharing"), [(True, "layer"), (False, "channel")])
def test_records_with_the_old_names_of_settings_are_read(shared, sharing):
    old = {"curves": {"shared": shared}, "training": {"warm_up": 0.1}}
    read = Experiment.model_validate(old)
    assert (read.curves.sharing, read.training.calibrate_after) == (sharing, 0.1)


def test_settings_of_an_earlier_version_mean_training_without_the_metric(tmp_path):
    written = Experiment(training={"curve_lr_factor": 3.0}).model_dump(mode="json")
    for later in ("curve_metric", "activation_lr_factor"):
        del written["training"][later]
    (tmp_path / "config.json").write_text(json.dumps(written))
    training = read_experiment(tmp_path / "config.json").training
    assert not training.curve_metric
    assert (training.curve_lr_factor, training.activation_lr_factor) == (3.0, 3.0)
