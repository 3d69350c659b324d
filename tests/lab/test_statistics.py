import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hinged.lab import statistics


def test_interval_of_a_textbook_sample():
    # Student's sleep data: ten differences with mean 1.58, t = 4.0621, p = 0.0028.
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    result = statistics.paired(differences, [0.0] * 10)
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
    result = statistics.paired(scores, baseline)
    assert result.p == pytest.approx(expected.pvalue)
    span = expected.confidence_interval(0.95)
    assert result.difference.low == pytest.approx(span.low)
    assert result.difference.high == pytest.approx(span.high)


def test_no_spread_gives_no_false_certainty():
    assert statistics.paired([0.5, 0.5], [0.5, 0.5]).p == 1.0
    assert math.isnan(statistics.paired([0.75, 0.75], [0.5, 0.5]).p)
    assert math.isnan(statistics.mean_interval([0.5]).low)
    # One sample of 45 more for every seed: equal differences, but not to the last bit.
    third = statistics.paired([41 / 45, 44 / 45], [40 / 45, 43 / 45])
    assert math.isnan(third.p)


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    samples = generator.normal(3.0, 2.0, size=(2000, 6))
    spans = [statistics.mean_interval(sample.tolist()) for sample in samples]
    covered = np.mean([span.low <= 3.0 <= span.high for span in spans])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_holm_by_hand():
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.5 x 1, each at least as large as the one before.
    assert statistics.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    with_nan = statistics.holm([0.01, math.nan, 0.9])
    assert with_nan[0] == pytest.approx(0.02) and math.isnan(with_nan[1])
    assert with_nan[2] == pytest.approx(0.9)
