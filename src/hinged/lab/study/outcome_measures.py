"""The numbers that studies can compare; each is computed from the result of one training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from hinged.lab.runs.trial_result import TrialResult


class Measure(NamedTuple):
    """A number to compare.

    Attributes:
        about: its description; `{metric}` stands for the metric of the data set.
        compute: returns the number for a result.
        larger_is_better: whether a larger number is better.
        share: whether it is a share, shown in percent; None if that depends on the metric.
    """

    about: str
    compute: Callable[[TrialResult], float]
    larger_is_better: bool
    share: bool | None = None

    def in_percent(self, metric: str) -> bool:
        """Whether it is shown in percent."""
        return "accuracy" in metric if self.share is None else self.share


def log_error(result: TrialResult) -> float:
    """Return log10 of the root mean square error on the test split, in units of the targets'
    standard deviation. It still shows differences where R2 is almost 1. NaN for other metrics.

    >>> round(log_error(TrialResult.model_construct(metric="R2", test_score=0.9999)), 6)
    -2.0
    """
    if result.metric != "R2" or not result.test_score < 1:
        return math.nan
    return math.log10(1 - result.test_score) / 2


def dead_share(result: TrialResult) -> float:
    """Return the share of dead units after the last epoch. NaN if none were counted, or if the
    training diverged, because NaN outputs hide dead units."""
    return result.dead[-1] if result.dead and not result.diverged else math.nan


MEASURES = {
    "score": Measure("test {metric}", lambda r: r.test_score, True),
    "gap": Measure("{metric} gap, train minus test", lambda r: r.train_score - r.test_score, False),
    "log_error": Measure(
        "log10 of the test error over the targets' deviation", log_error, False, False
    ),
    "dead": Measure("dead units", dead_share, False, True),
    "step_ms": Measure("milliseconds a step", lambda r: r.step_ms, False, False),
}
