import numpy as np
import pytest
import scipy.stats

from hinged.lab.reporting.statistical_power import pairs_needed, power


def test_power_of_the_textbook():
    # Cohen (1988), and G*Power: two-sided, level 0.05, power 0.8.
    assert pairs_needed(0.5, 1.0) == 34
    assert pairs_needed(0.2, 1.0) == 199
    assert pairs_needed(1.0, 1.0) == 10
    assert power(0.0, 1.0, 7) == pytest.approx(0.05)
    assert pairs_needed(1.0, 0.0) == 2
    assert power(37.0, 1.0, 101) == 1.0
    assert pairs_needed(1e-9, 1.0) == 10_000


def test_power_is_how_often_the_test_finds_it():
    samples = np.random.default_rng(0).normal(0.8, 1.0, size=(4000, 12))
    found = np.mean(scipy.stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05)
    assert power(0.8, 1.0, 12) == pytest.approx(found, abs=4 * (0.25 / 4000) ** 0.5)
