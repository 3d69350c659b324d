import math

import numpy as np
import pytest

from hinged.lab.study.outcome_measures import MEASURES, log_error
from tests.lab.helpers import make_result


def test_the_error_in_units_of_the_targets_deviation():
    generator = np.random.default_rng(0)
    targets = generator.normal(size=500) + 3
    outputs = targets + 1e-4 * generator.normal(size=500)
    expected = np.log10(np.sqrt(np.mean((outputs - targets) ** 2)) / targets.std())
    score = 1 - np.sum((outputs - targets) ** 2) / np.sum((targets - targets.mean()) ** 2)
    made = make_result("relu", 0, score).model_copy(update={"metric": "R2"})
    assert log_error(made) == pytest.approx(expected, abs=1e-6)
    assert not MEASURES["log_error"].larger_is_better


@pytest.mark.parametrize(("metric", "score"), [("accuracy", 0.9), ("R2", math.nan), ("R2", 1.0)])
def test_where_there_is_no_such_error(metric, score):
    made = make_result("relu", 0, score).model_copy(update={"metric": metric})
    assert math.isnan(log_error(made))


def test_dead_units_are_those_of_the_network_that_was_scored():
    made = make_result().model_copy(update={"loss": [1.0, 0.5], "dead": [0.1, 0.3]})
    assert MEASURES["dead"].compute(made) == 0.3
    assert MEASURES["dead"].compute(made.model_copy(update={"best_epoch": 1})) == 0.1
