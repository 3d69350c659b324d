import pytest

from hinged import errors
from hinged.lab.study.tune import Tune
from hinged.lab.study.tuning_plan import parse_tune_options, plan_tuning

RATES = {"training.lr": (0.01, 0.02)}


def test_every_combination_of_the_lists_is_tried():
    tune = Tune(settings={**RATES, "training.weight_decay": (0.0, 0.1)}, seeds=3, validation=0.3)
    tuning = plan_tuning(tune, ["relu", "silu"])
    assert (tuning.seeds, tuning.validation) == (3, 0.3)
    assert tuning.combinations["relu"] == tuning.combinations["silu"]
    assert [tuple(each.values()) for each in tuning.combinations["relu"]] == [
        *((0.01, 0.0), (0.01, 0.1), (0.02, 0.0), (0.02, 0.1)),
    ]


def test_a_setting_is_tried_only_for_activations_that_it_affects():
    tune = Tune(
        settings={"training.lr": (0.01, 0.02, 0.03, 0.04), "curves.hinges": (5, 9)},
        activations={"hinged": RATES},
    )
    combinations = plan_tuning(tune, ["relu", "hinged"]).combinations
    assert [dict(each) for each in combinations["relu"]] == [
        {"training.lr": rate} for rate in (0.01, 0.02, 0.03, 0.04)
    ]
    assert [tuple(each.values()) for each in combinations["hinged"]] == [
        *((0.01, 5), (0.01, 9), (0.02, 5), (0.02, 9)),
    ]


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (
            {"settings": {"curves.hinges": (5, 9)}},
            "1 for relu, 2 for hinged; each activation needs the same number",
        ),
        ({"settings": {"training.lr": (0.1,)}}, "there is nothing to choose: give at least two"),
        ({}, "1 for relu, 1 for hinged; there is nothing to choose"),
        ({"settings": {"training.lrr": (0.1, 0.2)}}, "got 'training.lrr'; did you mean"),
        ({"settings": {"network.width": (1, 2)}}, "got 'network.width'; expected one of"),
        ({"settings": {"training.epochs": (1, 2)}}, "must be the same for all activations"),
        ({"settings": {"training.validation": (0.1, 0.2)}}, "must be the same for all activations"),
        ({"settings": {"training.lr": ()}}, "training.lr with no value; give each value"),
        ({"settings": {"training.lr": (0.1, 0.1)}}, "training.lr with 0.1, 0.1; give each value"),
        ({"activations": {"hingd": RATES}}, "got 'hingd'; did you mean 'hinged'"),
        ({"activations": {"silu": RATES}}, "settings for silu; this activation is not compared"),
        (
            {"activations": {"relu": {"curves.hinges": (5, 9)}}},
            "got curves.hinges for relu; this setting does not change the training",
        ),
    ],
)
def test_tunings_that_cannot_be_fair_are_refused(tune, message):
    with pytest.raises(errors.ArgumentError) as refused:
        plan_tuning(Tune(**tune), ["relu", "hinged"])
    assert str(refused.value).startswith("`tune`: got ") and message in str(refused.value)


def test_options_of_the_command_line():
    made = parse_tune_options(
        [
            "training.lr=0.01,0.02",
            "curves.init=relu,silu",
            "my.py:make:training.lr=0.1,0.2",
            "hinged:curves.trained=true,false",
        ]
    )
    assert made.settings == {"training.lr": (0.01, 0.02), "curves.init": ("relu", "silu")}
    assert made.activations == {
        "my.py:make": {"training.lr": (0.1, 0.2)},
        "hinged": {"curves.trained": (True, False)},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["training.lr"], "got training.lr; expected NAME=VALUES, for example training.lr=0.003,"),
        (["training.lr="], "expected NAME=VALUES"),
        (["training.lr=1,2", "training.lr=3,4"], "got training.lr twice; give all values"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(errors.ArgumentError) as refused:
        parse_tune_options(options)
    assert message in str(refused.value)
