"""The measures that studies can compare, each a number computed from one training's result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from hinged.lab.runs.trial_result import TrialResult


class Measure(NamedTuple):
    """A measure: a number that a study compares between activations.

    Attributes:
        about: description of the measure. `{metric}` in this text is replaced by the metric of the
            data set.
        compute: a function that returns the number for the result of a training.
        larger_is_better: whether a larger number is better.
        share: whether the number is a fraction that is shown in percent. None shows it in percent
            only if the metric is an accuracy.
    """

    about: str
    compute: Callable[[TrialResult], float]
    larger_is_better: bool
    share: bool | None = None

    def in_percent(self, metric: str) -> bool:
        """Whether the measure is shown in percent for data with this metric."""
        return "accuracy" in metric if self.share is None else self.share


def log_error(result: TrialResult) -> float:
    """Return log10 of the root mean square error on the test split.

    The error is in units of the targets' standard deviation. The logarithm shows differences
    between networks even if all R2 scores are almost 1. NaN is returned for other metrics than R2.

    >>> round(log_error(TrialResult.model_construct(metric="R2", test_score=0.9999)), 6)
    -2.0
    """
    if result.metric != "R2" or not result.test_score < 1:
        return math.nan
    return math.log10(1 - result.test_score) / 2


def dead_share(result: TrialResult) -> float:
    """Return the fraction of dead units of the trained network, from 0 to 1.

    A unit is dead if its output is the same for all samples. NaN is returned if dead units were not
    counted, or if the training diverged, because dead units cannot be seen in NaN outputs.
    """
    return result.dead[result.scored_epoch] if result.dead and not result.diverged else math.nan


MEASURES = {
    "score": Measure("test {metric}", lambda r: r.test_score, True),
    "gap": Measure("{metric} gap, train minus test", lambda r: r.train_score - r.test_score, False),
    "log_error": Measure(
        "log10 of the test error over the targets' deviation", log_error, False, False
    ),
    "dead": Measure("dead units", dead_share, False, True),
    "step_ms": Measure("milliseconds a step", lambda r: r.step_ms, False, False),
}
