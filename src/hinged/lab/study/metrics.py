"""What studies compare: one number of each training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from hinged.lab.runs.trial_result import TrialResult


class Measure(NamedTuple):
    """A number of a training.

    Attributes:
        about: what it is; `{metric}` stands for the data set's.
        of: reads it from a result.
        larger_is_better: or smaller.
        share: whether it is a share, shown in percent; None where that depends on the metric.
    """

    about: str
    of: Callable[[TrialResult], float]
    larger_is_better: bool
    share: bool | None = None

    def in_percent(self, metric: str) -> bool:
        """Whether it is shown in percent."""
        return "accuracy" in metric if self.share is None else self.share


def log_error(result: TrialResult) -> float:
    """Return the logarithm to base 10 of the root mean square error on the test split, in units of
    the targets' standard deviation there: where R2 comes close to 1 it still tells apart. NaN where
    the metric is another.

    >>> round(log_error(TrialResult.model_construct(metric="R2", test_score=0.9999)), 6)
    -2.0
    """
    if result.metric != "R2" or not result.test_score < 1:
        return math.nan
    return math.log10(1 - result.test_score) / 2


def dead(result: TrialResult) -> float:
    """Return the share of dead units after the last epoch; NaN where none were counted, or where
    the training diverged: outputs that are no numbers are not alive."""
    return result.dead[-1] if result.dead and not result.diverged else math.nan


MEASURES = {
    "score": Measure("test {metric}", lambda r: r.test_score, True),
    "gap": Measure("{metric} gap, train minus test", lambda r: r.train_score - r.test_score, False),
    "log_error": Measure(
        "log10 of the test error over the targets' deviation", log_error, False, False
    ),
    "dead": Measure("dead units", dead, False, True),
    "step_ms": Measure("milliseconds a step", lambda r: r.step_ms, False, False),
}
