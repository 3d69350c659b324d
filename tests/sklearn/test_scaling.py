"""Tests of the scaling of tables."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import RobustScaler, StandardScaler

from hinged.sklearn import scaling
from hinged.sklearn.scaling import clip_columns, robust_scaling, standard_scaling

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
    x = np.stack([np.arange(10) == 0, 3 - 2 * (np.arange(10) == 0), np.full(10, 7)], axis=1)
    scaling = robust_scaling(x.astype(float), None)
    assert scaling.scale == pytest.approx([1, 2, 1])
    assert scaling.apply(x)[:2] == pytest.approx(np.array([[1, -1, 0], [0, 0, 0]]))


def test_a_column_with_equal_quartiles_and_more_values_gets_a_standard_deviation_of_1():
    x = np.maximum(np.arange(20.0) - 17, 0)[:, None]
    assert robust_scaling(x, None).apply(x).std() == pytest.approx(1)


def test_a_sparse_table_is_scaled_as_the_dense_one():
    x = np.where(RANDOM.rand(50, 3) < 0.3, 0, RANDOM.randn(50, 3) + 5)
    dense, thin = robust_scaling(x, None), robust_scaling(sparse.csr_array(x), None)
    assert (thin.center == dense.center).all() and (thin.scale == dense.scale).all()
    assert (thin.apply(sparse.csr_array(x)) == dense.apply(x)).all()


@pytest.fixture
def no_sparse_table_is_centred(monkeypatch):
    monkeypatch.setattr(scaling, "MOST_CENTRED", 0)


@pytest.mark.usefixtures("no_sparse_table_is_centred")
def test_flags_in_sparse_tables_stay_as_they_are():
    flags = np.stack([np.arange(50) == 0, np.arange(50) % 2], axis=1).astype(float)
    assert robust_scaling(sparse.csr_matrix(flags), None).scale == pytest.approx([1, 1])
    assert robust_scaling(sparse.csr_array(-3 * flags), None).scale == pytest.approx([3, 3])


@pytest.mark.usefixtures("no_sparse_table_is_centred")
def test_large_sparse_tables_stay_sparse():
    x = sparse.random_array((50, 4), density=0.2, rng=np.random.default_rng(0), format="csr")
    weights = RANDOM.rand(50)
    scaled = robust_scaling(x, weights).apply(x)
    assert sparse.issparse(scaled) and scaled.nnz == x.nnz
    squares = np.average(scaled.toarray() ** 2, axis=0, weights=weights)
    assert squares == pytest.approx(1)


@pytest.fixture
def peak():
    """Return the largest memory of arrays so far, in bytes."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


def test_a_large_table_is_copied_once(peak):
    x = np.stack([RANDOM.randn(50_000), np.arange(50_000) == 0, *RANDOM.randn(8, 50_000)], axis=1)
    tracemalloc.reset_peak()
    scaling = robust_scaling(x, np.ones(len(x)))
    assert peak() < 1.6 * x.nbytes  # The table is a part of it.
    tracemalloc.reset_peak()
    scaled = scaling.apply(x, np.float32)
    assert peak() < 1.8 * x.nbytes
    assert np.array_equal(scaled, scaling.apply(x).astype(np.float32))


def test_numbers_beyond_float32_become_infinite():
    scaled = standard_scaling(np.ones((3, 1)), None).apply(np.full((3, 1), 1e300), np.float32)
    assert np.isinf(scaled).all()


def test_sparse_columns_are_clipped_as_dense_ones():
    x = sparse.random_array((50, 4), density=0.5, rng=np.random.default_rng(0), format="csr")
    low, high = np.array([0.2, -1, 0.3, -2]), np.array([0.4, 0.5, np.inf, -1])
    clipped = clip_columns(x.copy(), low, high)
    assert sparse.issparse(clipped)
    assert (clipped.toarray() == x.toarray().clip(low, high)).all()
