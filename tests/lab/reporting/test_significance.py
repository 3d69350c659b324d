import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hinged.lab.reporting import significance


def test_interval_of_a_textbook_sample():
    # Student's sleep data: ten differences with mean 1.58, t = 4.0621, p = 0.0028.
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    result = significance.paired(differences, [0.0] * 10)
    assert result.difference.mean == pytest.approx(1.58)
    assert result.difference.low == pytest.approx(0.7001, abs=1e-4)
    assert result.difference.high == pytest.approx(2.4599, abs=1e-4)
    assert result.p == pytest.approx(0.002833, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=20))
def test_paired_is_scipys_paired_t_test(pairs):
    scores, baseline = zip(*pairs, strict=True)
    differences = np.subtract(scores, baseline)
    if np.std(differences) < 1e-6:
        return
    expected = scipy.stats.ttest_rel(scores, baseline)
    result = significance.paired(scores, baseline)
    assert result.p == pytest.approx(expected.pvalue)
    span = expected.confidence_interval(0.95)
    assert result.difference.low == pytest.approx(span.low)
    assert result.difference.high == pytest.approx(span.high)


def test_no_spread_gives_no_false_certainty():
    assert significance.paired([0.5, 0.5], [0.5, 0.5]).p == 1.0
    assert math.isnan(significance.paired([0.75, 0.75], [0.5, 0.5]).p)
    assert math.isnan(significance.mean_interval([0.5]).low)
    # One sample of 45 more for every seed: equal differences, but not to the last bit.
    third = significance.paired([41 / 45, 44 / 45], [40 / 45, 43 / 45])
    assert math.isnan(third.p)


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    samples = generator.normal(3.0, 2.0, size=(2000, 6))
    spans = [significance.mean_interval(sample.tolist()) for sample in samples]
    covered = np.mean([span.low <= 3.0 <= span.high for span in spans])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_holm_by_hand():
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.5 x 1, each at least as large as the one before.
    assert significance.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    with_nan = significance.holm([0.01, math.nan, 0.9])
    assert with_nan[0] == pytest.approx(0.02) and math.isnan(with_nan[1])
    assert with_nan[2] == pytest.approx(0.9)


def test_sign_flip_by_hand():
    # All of one sign: only that choice and its opposite are as far from 0.
    assert significance.sign_flip([0.1, 0.2, 0.4, 0.8, 1.6]) == 2 / 2**5
    assert significance.sign_flip([1.0, -1.0]) == 1.0
    assert significance.sign_flip([0.0, 0.0, 0.0]) == 1.0
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, but as far from 0 as its opposite.
    assert significance.sign_flip([0.1, 0.2, -0.3]) == 1.0


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8))
def test_sign_flip_is_scipys_permutation_test(differences):
    expected = scipy.stats.permutation_test(
        (differences, np.zeros(len(differences))),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert significance.sign_flip(differences) == pytest.approx(expected.pvalue)


def test_sign_flip_of_many_is_near_the_exact_share():
    # Differences of +-1: the number of those above 0 is binomial.
    differences = [1.0] * 15 + [-1.0] * 5
    exact = scipy.stats.binomtest(15, 20).pvalue
    assert significance.sign_flip(differences) == pytest.approx(exact, abs=4 * 0.2 / 100_000**0.5)


def test_bootstrap_interval_is_that_of_all_resamples():
    scores = [0.0, 1.0, 3.0, 7.0, 15.0]
    means = [np.mean(sample) for sample in itertools.product(scores, repeat=5)]
    interval = significance.bootstrap_interval(scores)
    assert interval.mean == pytest.approx(5.2)
    # The quantile of 10,000 draws lies between exact quantiles four standard errors apart.
    error = 4 * (0.025 * 0.975 / 10_000) ** 0.5
    for found, share in ((interval.low, 0.025), (interval.high, 0.975)):
        low, high = np.quantile(means, (share - error, share + error))
        assert low <= found <= high
    assert math.isnan(significance.bootstrap_interval([0.5]).low)


def test_bootstrap_interval_covers_the_truth_as_seldom_as_it_says():
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    spans = [significance.bootstrap_interval(sample.tolist()) for sample in samples]
    covered = np.mean([span.low <= 3.0 <= span.high for span in spans])
    assert covered == pytest.approx(0.83, abs=0.02)


def test_power_of_the_textbook():
    # Cohen (1988), and G*Power: two-sided, level 0.05, power 0.8.
    assert significance.pairs_needed(0.5, 1.0) == 34
    assert significance.pairs_needed(0.2, 1.0) == 199
    assert significance.pairs_needed(1.0, 1.0) == 10
    assert significance.power(0.0, 1.0, 7) == pytest.approx(0.05)
    assert significance.pairs_needed(1.0, 0.0) == 2
    assert significance.power(37.0, 1.0, 101) == 1.0
    assert significance.pairs_needed(1e-9, 1.0) == 10_000


def test_power_is_how_often_the_test_finds_it():
    samples = np.random.default_rng(0).normal(0.8, 1.0, size=(4000, 12))
    found = np.mean(scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05)
    assert significance.power(0.8, 1.0, 12) == pytest.approx(found, abs=4 * (0.25 / 4000) ** 0.5)
