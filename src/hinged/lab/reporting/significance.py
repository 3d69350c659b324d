"""Confidence intervals and tests for the difference between two activations, computed by SciPy.

Scores are paired by seed. Two trainings from the same seed have the same initial weights and the
same order of the data. `hinged.lab.reporting.multiple_testing` corrects p-values for several tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import NDArray

FEWEST_SEEDS = 5
"""Smallest number of seeds from which a verdict is drawn. With 2 seeds, a 95 % interval is 18 times
as wide as the standard deviation of the differences; with 5 seeds, 2.5 times."""

_SIGN_CHOICES = 100_000
_RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes:
        mean: the mean.
        low: lower bound of the interval; NaN if there is no interval.
        high: upper bound of the interval; NaN if there is no interval.
    """

    mean: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """The result of a paired t-test of two lists of scores.

    Attributes:
        difference: mean of the paired differences with its 95 % interval.
        p: two-sided p-value; NaN if all differences are equal but not 0.
        pairs: number of pairs.
    """

    difference: Interval
    p: float
    pairs: int


def finite_pairs(
    scores: Mapping[int, float | None], baseline: Mapping[int, float | None]
) -> tuple[list[float], list[float]]:
    """Return the scores of all seeds at which an activation and the baseline have finite scores.

    Args:
        scores: score of the activation by seed; None for a diverged training.
        baseline: score of the baseline by seed; None for a diverged training.

    Returns:
        The scores of the activation and the scores of the baseline, in the same order of seeds.

    >>> finite_pairs({0: 1.0, 1: 2.0, 2: None}, {1: 3.0, 2: 4.0})
    ([2.0], [3.0])
    """
    candidates = ((score, baseline.get(seed)) for seed, score in scores.items())
    known = [(a, b) for a, b in candidates if a is not None and b is not None]
    finite = [(a, b) for a, b in known if math.isfinite(a) and math.isfinite(b)]
    return [a for a, _ in finite], [b for _, b in finite]


def mean_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean of scores and its Student t interval.

    Args:
        scores: the scores.
        confidence: probability that the interval contains the true mean, from 0 to 1.

    Returns:
        The mean and the bounds of the interval. The bounds are NaN for a single score. All three
        are NaN if there are no scores.
    """
    values = np.asarray(scores, dtype=float)
    mean = float(values.mean()) if len(values) else math.nan
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    if _are_equal(values):
        return Interval(mean, mean, mean)
    low, high = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    return Interval(mean, float(low), float(high))


def paired_t_test(scores: Sequence[float], baseline: Sequence[float]) -> PairedTest:
    """Return the paired t-test of scores against the baseline's scores from the same seeds.

    The test needs differences that vary. If all differences are equal, p is 1 for a difference of 0
    and NaN for any other difference.

    Args:
        scores: scores of an activation, one for each seed.
        baseline: scores of the baseline, in the same order of seeds.

    Source: Student, "The probable error of a mean" (Biometrika 1908).
    """
    differences = np.asarray(scores, dtype=float) - np.asarray(baseline, dtype=float)
    if _are_equal(differences):
        p = 1.0 if abs(differences[0]) <= 1e-12 else math.nan
    else:
        p = float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)
    return PairedTest(mean_interval(differences.tolist()), p, len(differences))


def fold_t_test(scores: Sequence[float], baseline: Sequence[float], folds: int) -> PairedTest:
    """Return the corrected resampled t-test of paired scores of the folds of a cross-validation.

    The folds share most of their training samples, so their differences are not independent, and
    the test of Student finds too many differences. Here, the variance of the mean difference is
    `1/n + 1/(folds - 1)` times the variance of the `n` differences, in place of `1/n`. The second
    term is the number of test samples divided by that of training samples.

    For cross-validation, the test is a heuristic. Nadeau and Bengio derived it for repeated random
    splits into training and test samples. They assume that the correlation of two differences is
    the share of the test samples, and do not prove it. Bouckaert and Frank tried it on repeated
    cross-validation, where it seldom found differences that did not exist. Bengio and Grandvalet
    proved that no estimate of the variance from one cross-validation is unbiased for all data. So
    p-values and intervals are approximate.

    Args:
        scores: scores of one model, one for each fold.
        baseline: scores of another model, in the same order of folds.
        folds: number of folds of the cross-validation, at least 2. Not all of them need a score.

    Returns:
        The mean difference with its 95 % interval, the two-sided p-value and the number of folds
        with scores. If all differences are equal, they are those of `paired_t_test`.

    Sources: Nadeau and Bengio, "Inference for the generalization error" (Machine Learning 2003);
    Bouckaert and Frank, "Evaluating the replicability of significance tests for comparing learning
    algorithms" (PAKDD 2004); Bengio and Grandvalet, "No unbiased estimator of the variance of
    k-fold cross-validation" (JMLR 2004).

    >>> fold_t_test([0.9, 0.8, 0.8], [0.8, 0.8, 0.7], folds=10).difference.mean.__round__(3)
    0.067
    """
    differences = np.asarray(scores, dtype=float) - np.asarray(baseline, dtype=float)
    count = len(differences)
    if count < 2 or _are_equal(differences):
        return paired_t_test(scores, baseline)
    mean, variance = float(differences.mean()), float(differences.var(ddof=1))
    error = math.sqrt((1 / count + 1 / (folds - 1)) * variance)
    student = scipy.stats.t(count - 1)
    width = float(student.ppf(0.975)) * error
    p = 2 * float(student.sf(abs(mean) / error))
    return PairedTest(Interval(mean, mean - width, mean + width), p, count)


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of the permutation test of paired differences.

    If two activations are equally good, both signs of each difference are equally likely. So all
    `2^n` choices of signs of the `n` differences are tried. The p-value is the fraction of choices
    whose mean is at least as far from 0 as the observed mean. For more than 16 differences, only
    100,000 random choices with a fixed seed are tried.

    Args:
        differences: differences between the scores of two activations, one for each seed.

    Source: Fisher, "The design of experiments" (1935), section 21.

    >>> sign_flip_p_value([1.0, 2.0, 3.0])
    0.25
    """
    values = np.asarray(differences, dtype=float)
    scale = np.abs(values).mean() or 1.0

    def distance(sample: NDArray[Any], axis: int) -> NDArray[Any]:
        # Means of the same numbers in another order differ in their last bits.
        distances: NDArray[Any] = np.round(np.abs(np.mean(sample, axis=axis)) / scale, 12)
        return distances

    test = scipy.stats.permutation_test(
        (values,),
        distance,
        permutation_type="samples",
        alternative="greater",
        n_resamples=_SIGN_CHOICES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def bootstrap_interval(
    scores: Sequence[float], confidence: float = 0.95, resamples: int = _RESAMPLES
) -> Interval:
    """Return the mean of scores and its bias-corrected and accelerated bootstrap interval.

    The interval does not assume a normal distribution, but it is too narrow for few scores. With 5
    scores, a 95 % interval contains the true mean in only about 84 % of experiments.

    Args:
        scores: the scores, at least one.
        confidence: probability that the interval should contain the true mean, from 0 to 1.
        resamples: number of bootstrap samples. They are drawn with a fixed random seed.

    Returns:
        The mean and the bounds of the interval. The bounds are NaN for a single score.

    Source: Efron, "Better bootstrap confidence intervals" (JASA 1987).
    """
    values = np.asarray(scores, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    if _are_equal(values):
        return Interval(mean, mean, mean)
    result = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return Interval(mean, float(low), float(high))


def _are_equal(values: NDArray[np.float64]) -> bool:
    """Whether all values are equal up to rounding errors.

    For example, 41/45 - 40/45 and 44/45 - 43/45 differ only in the last bits.
    """
    return bool(np.ptp(values) <= 1e-12 * (1 + np.abs(values).max()))
