import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from hinged.lab.reporting import significance


def test_interval_of_a_textbook_sample():
    # Student's sleep data: ten differences with mean 1.58, t = 4.0621, p = 0.0028.
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    result = significance.paired_t_test(differences, [0.0] * 10)
    assert result.difference.mean == pytest.approx(1.58)
    assert result.difference.low == pytest.approx(0.7001, abs=1e-4)
    assert result.difference.high == pytest.approx(2.4599, abs=1e-4)
    assert result.p == pytest.approx(0.002833, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=20))
def test_paired_is_scipys_paired_t_test(pairs):
    scores, baseline = zip(*pairs, strict=True)
    differences = np.subtract(scores, baseline)
    assume(np.std(differences) >= 1e-6)
    expected = scipy.stats.ttest_rel(scores, baseline)
    result = significance.paired_t_test(scores, baseline)
    assert result.p == pytest.approx(expected.pvalue)
    span = expected.confidence_interval(0.95)
    assert result.difference.low == pytest.approx(span.low)
    assert result.difference.high == pytest.approx(span.high)


def test_no_spread_gives_no_false_certainty():
    assert significance.paired_t_test([0.5, 0.5], [0.5, 0.5]).p == 1.0
    assert math.isnan(significance.paired_t_test([0.75, 0.75], [0.5, 0.5]).p)
    assert math.isnan(significance.mean_interval([0.5]).low)
    # One sample of 45 more for every seed: equal differences, but not to the last bit.
    third = significance.paired_t_test([41 / 45, 44 / 45], [40 / 45, 43 / 45])
    assert math.isnan(third.p)


def test_the_fold_test_by_hand():
    # Mean 2, variance 1, three of five folds: the error is sqrt(1/3 + 1/4), and t is 2.619.
    result = significance.fold_t_test([2.0, 3.0, 4.0], [1.0, 1.0, 1.0], folds=5)
    assert result.difference.mean == 2 and result.pairs == 3
    t = 2 / math.sqrt(7 / 12)
    assert result.p == pytest.approx(1 - t / math.sqrt(t**2 + 2))  # Student's t with 2 degrees
    span = 4.302653 * math.sqrt(7 / 12)
    assert result.difference.low == pytest.approx(2 - span)
    assert result.difference.high == pytest.approx(2 + span)


def test_the_fold_test_without_spread_is_the_paired_test():
    assert significance.fold_t_test([0.5, 0.5], [0.5, 0.5], folds=10).p == 1.0
    assert math.isnan(significance.fold_t_test([0.75, 0.75], [0.5, 0.5], folds=10).p)
    assert math.isnan(significance.fold_t_test([0.75], [0.5], folds=10).p)


@pytest.mark.slow
def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    samples = generator.normal(3.0, 2.0, size=(2000, 6))
    spans = [significance.mean_interval(sample.tolist()) for sample in samples]
    covered = np.mean([span.low <= 3.0 <= span.high for span in spans])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_sign_flip_by_hand():
    # All of one sign: only that choice and its opposite are as far from 0.
    assert significance.sign_flip_p_value([0.1, 0.2, 0.4, 0.8, 1.6]) == 2 / 2**5
    assert significance.sign_flip_p_value([1.0, -1.0]) == 1.0
    assert significance.sign_flip_p_value([0.0, 0.0, 0.0]) == 1.0
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, but as far from 0 as its opposite.
    assert significance.sign_flip_p_value([0.1, 0.2, -0.3]) == 1.0
    # These sum to 1/450, the smallest distance from 0 that any choice of signs gives.
    nearly_balanced = [2411, -689, -1185, -1033, -2470, 1244, 1723]
    assert significance.sign_flip_p_value([d / 450 for d in nearly_balanced]) == 1.0


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8))
def test_sign_flip_counts_all_choices_of_signs(differences):
    choices = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(np.dot(signs, differences)) for signs in choices]
    expected = Fraction(sum(total >= abs(sum(differences)) for total in sums), len(sums))
    # Accuracies on 450 samples: sums that are equal differ in their last bits.
    for unit in (1, 450):
        p_value = significance.sign_flip_p_value([d / unit for d in differences])
        assert p_value == pytest.approx(float(expected))


def test_sign_flip_of_many_is_near_the_exact_share():
    # Differences of +-1: the number of those above 0 is binomial.
    differences = [1.0] * 15 + [-1.0] * 5
    exact = scipy.stats.binomtest(15, 20).pvalue
    assert significance.sign_flip_p_value(differences) == pytest.approx(
        exact, abs=4 * 0.2 / 100_000**0.5
    )


def test_bootstrap_interval_is_that_of_all_resamples():
    scores = [0.0, 1.0, 3.0, 7.0, 15.0]
    means = [np.mean(sample) for sample in itertools.product(scores, repeat=5)]
    interval = significance.bootstrap_interval(scores)
    assert interval.mean == pytest.approx(5.2)
    # Efron's correction: of the bias (z0) and of the skewness (a, by the jackknife).
    share_below = (np.less(means, 5.2).mean() + np.less_equal(means, 5.2).mean()) / 2
    z0 = scipy.stats.norm.ppf(share_below)
    jackknife = np.array([np.mean(scores[:i] + scores[i + 1 :]) for i in range(5)])
    deviations = jackknife.mean() - jackknife
    a = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    # The quantile of 10,000 draws lies between exact quantiles four standard errors apart.
    error = 4 * (0.025 * 0.975 / 10_000) ** 0.5
    for found, share in ((interval.low, 0.025), (interval.high, 0.975)):
        z = scipy.stats.norm.ppf(share)
        corrected = scipy.stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))
        low, high = np.quantile(means, np.clip((corrected - error, corrected + error), 0, 1))
        assert low <= found <= high
    assert math.isnan(significance.bootstrap_interval([0.5]).low)
    assert significance.bootstrap_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)


@pytest.mark.slow
def test_bootstrap_interval_covers_the_truth_as_often_as_its_docstring_says():
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    spans = [significance.bootstrap_interval(s.tolist(), resamples=1000) for s in samples]
    covered = np.mean([span.low <= 3.0 <= span.high for span in spans])
    assert covered == pytest.approx(0.84, abs=0.02)
