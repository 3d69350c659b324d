"""Tests of the scaling of tables."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import RobustScaler, StandardScaler

from hinged.sklearn.scaling import robust_scaling, standard_scaling

RANDOM = np.random.RandomState(0)


def test_robust_scaling_is_that_of_scikit_learn_up_to_the_kind_of_quantile():
    x = RANDOM.standard_cauchy((4001, 3))
    scaling, theirs = robust_scaling(x, None), RobustScaler(unit_variance=True).fit(x)
    assert scaling.center == pytest.approx(theirs.center_, abs=1e-9)
    assert scaling.scale == pytest.approx(theirs.scale_, rel=1e-3)


def test_standard_scaling_is_that_of_scikit_learn():
    x, weights = RANDOM.randn(50, 2) * [1, 100], RANDOM.randint(1, 4, 50).astype(float)
    scaling, theirs = standard_scaling(x, weights), StandardScaler().fit(x, sample_weight=weights)
    assert scaling.apply(x) == pytest.approx(theirs.transform(x))
    assert scaling.undo(scaling.apply(x)) == pytest.approx(x)


def test_a_row_with_weight_2_is_two_rows():
    x, weights = RANDOM.randn(40, 2), RANDOM.randint(1, 4, 40)
    one, other = (
        robust_scaling(x, weights.astype(float)),
        robust_scaling(x.repeat(weights, 0), None),
    )
    assert (one.center == other.center).all()
    assert (one.scale == other.scale).all()


def test_flags_and_constant_columns_have_a_scale():
    x = np.stack([np.arange(10) == 0, np.full(10, 7)], axis=1).astype(float)
    scaling = robust_scaling(x, None)
    assert scaling.scale == pytest.approx([0.3, 1.0])
    assert scaling.apply(x)[:, 1] == pytest.approx(0)


def test_sparse_tables_stay_sparse():
    x = sparse.random_array((50, 4), density=0.2, rng=np.random.default_rng(0), format="csr")
    weights = RANDOM.rand(50)
    scaling = robust_scaling(x, weights)
    scaled = scaling.apply(x)
    assert sparse.issparse(scaled) and scaled.nnz == x.nnz
    squares = np.average(scaled.toarray() ** 2, axis=0, weights=weights)
    assert squares == pytest.approx(1)
