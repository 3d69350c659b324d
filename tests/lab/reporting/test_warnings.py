import math

import pytest

from hinged.lab.data import DataFacts
from hinged.lab.experiment.settings import NetworkSettings, TrainingSettings
from hinged.lab.reporting.warnings import find_warnings
from tests.lab.helpers import make_result

TEN_CLASSES = DataFacts(
    train_samples=1000,
    test_samples=400,
    repeated=0,
    chance=0.1,
    chance_margin=0.03,
    chance_about="the share of the most frequent class",
)


def warn(experiment, scores, facts=TEN_CLASSES, **changes):
    """Warnings about these test scores by activation, one for each seed."""
    results = [
        make_result(activation, seed, score).model_copy(update={"data_facts": facts, **changes})
        for activation, values in scores.items()
        for seed, score in enumerate(values)
    ]
    return find_warnings(experiment.model_copy(update={"activations": tuple(scores)}), results)


GOOD = {"relu": [0.8, 0.81, 0.82, 0.83, 0.84], "hinged": [0.9, 0.91, 0.92, 0.93, 0.94]}


def test_good_results_get_no_warning(small):
    assert warn(small, GOOD) == ()
    assert warn(small, GOOD, None) == ()
    assert find_warnings(small, []) == ()


def test_results_without_facts_are_warned_of_what_the_scores_show(small):
    [text] = warn(small, {"relu": [0.1, 0.1], "hinged": [0.1, 0.2]}, None)
    assert text == "Too few seeds for a verdict: 2; give at least 5."


def test_an_unfinished_comparison_says_how_many_seeds_are_finished(small):
    ten = small.model_copy(update={"seeds": tuple(range(10))})
    [text] = warn(ten, {"relu": [0.7, 0.8], "hinged": [0.8, 0.9]})
    assert text == "Too few finished seeds for a verdict: 2 of 10."


def earlier_and_present_results(scores):
    """Results of seeds 0 to 2 from an earlier version, and of seeds 3 and 4 from this one."""
    present = {"data_facts": TEN_CLASSES, "other_scores": {"macro F1": 0.5}}
    return [
        make_result(activation, seed, score).model_copy(update=present if seed > 2 else {})
        for activation, values in scores.items()
        for seed, score in enumerate(values)
    ]


def test_an_extended_run_of_an_earlier_version_says_what_is_missing(small):
    [text] = find_warnings(small, earlier_and_present_results(GOOD))
    assert text.startswith("Further scores and predictions are those of 2 of 5 seeds only")


def test_results_of_an_earlier_version_are_judged_by_the_facts_of_the_others(small):
    chance = {"relu": [0.1] * 5, "hinged": [0.1, 0.11, 0.09, 0.1, 0.1]}
    texts = find_warnings(small, earlier_and_present_results(chance))
    assert texts[0].startswith("No network learned: the best accuracy is 11.00 %")


def test_networks_at_chance_level(small):
    five = {"relu": [0.1, 0.09, 0.1, 0.1, 0.1], "hinged": [0.12, 0.1, math.nan, 0.1, 0.1]}
    learned, diverged = warn(small, five)
    assert learned.startswith(
        "No network learned: the best accuracy is 12.00 %, and chance is 10.00 % ± 3.00 % "
        "(the share of the most frequent class)."
    )
    assert "hinged (seed 2)" in diverged


def test_one_activation_at_chance_level(small):
    [text] = warn(small, GOOD | {"silu": [0.1] * 5})
    assert text.startswith("No network with silu learned: the best accuracy is 10.00 %")


def test_networks_that_all_diverged(small):
    text = warn(small, {"relu": [math.nan] * 5, "hinged": [math.nan] * 5})[0]
    assert text.startswith("No network learned: no score is finite, and chance is 10.00 %")


def test_a_regression_that_predicts_no_better_than_the_mean(small):
    facts = TEN_CLASSES.model_copy(update={"chance": 0.0, "chance_margin": 0.01})
    scores = {"relu": [-3.0, 0.001, -1, -2, -9], "hinged": [-0.5, -1e5, -1, -2, -3]}
    [text] = warn(small, scores, facts, metric="R2")
    assert text.startswith("No network learned: the best R2 is 0.001, and chance is 0 ± 0.01")


def test_scores_that_equal_those_of_the_baseline(small):
    [text] = warn(small, {"relu": [1.0] * 5, "silu": [1.0] * 5, "hinged": [1.0] * 5})
    assert text.startswith("silu and hinged have exactly the test scores of relu at all 5 seeds.")
    [text] = warn(small, GOOD | {"silu": GOOD["relu"]})
    assert text.startswith("silu has exactly the test scores of relu at all 5 seeds.")


def test_test_samples_among_the_training_samples(small):
    facts = TEN_CLASSES.model_copy(update={"repeated": 50})
    [text] = warn(small, GOOD, facts)
    assert text.startswith("50 of 400 test samples (12.5%) have the same inputs as a training")


def test_a_small_test_split(small):
    [text] = warn(small, GOOD, TEN_CLASSES.model_copy(update={"test_samples": 29}))
    assert "only 29 samples" in text
    assert warn(small, GOOD, TEN_CLASSES.model_copy(update={"test_samples": 30})) == ()


def test_a_test_split_of_one_class(small):
    facts = TEN_CLASSES.model_copy(update={"chance": 1.0, "chance_margin": 0.0})
    assert warn(small, GOOD, facts) == (
        "All test samples have the same class, so the accuracy says nothing.",
    )


@pytest.mark.parametrize("trains", ["head", "head+curves", "head+norm"])
def test_a_frozen_network_with_random_weights(trains, small):
    training = TrainingSettings(trains=trains)
    frozen = small.model_copy(update={"training": training})
    [text] = warn(frozen, GOOD)
    assert f"was trained ({trains.replace('+', ' and ')})" in text
    assert warn(frozen, GOOD, pretrained="imagenet (abc)") == ()
    users = frozen.model_copy(update={"network": NetworkSettings(kind="my.py:make")})
    assert warn(users, GOOD) == ()


def test_curves_that_could_not_move(small):
    training = small.training.model_copy(update={"curve_lr_factor": 0.01})
    still = small.model_copy(update={"training": training})
    [text] = warn(still, GOOD)
    assert text.startswith("Curves can travel at most 0.0") and "in 16 steps" in text
    assert warn(still, {"relu": GOOD["relu"], "silu": GOOD["hinged"]}) == ()
