"""The scaling of the columns of a table to similar centres and spreads."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

_NORMAL_QUARTILES = 1.349
"""Distance between the quartiles of a normal distribution with standard deviation 1."""

_ROWS_AT_A_TIME = 4096

MOST_CENTRED = 10_000_000
"""Largest number of entries, zeros included, of a sparse table whose columns are centred."""


class Scaling(NamedTuple):
    """The scaling `(x - center) / scale` of each column of a table.

    Attributes:
        center: the number that becomes 0 in each column, `(features,)`.
        scale: the distance that becomes 1 in each column, `(features,)`, above 0.
    """

    center: Array
    scale: Array

    def apply(self, x: Any, dtype: type[np.floating[Any]] = np.float64) -> Any:
        """Return the scaled table, `(rows, features)`.

        The rows are scaled in float64, some at a time, so that a large table is not copied twice.

        Args:
            x: a table, `(rows, features)`. A sparse table becomes dense if columns are centred.
                Otherwise, it stays sparse and in float64.
            dtype: the dtype of the result.
        """
        is_sparse = sparse.issparse(x)
        with np.errstate(over="ignore"):  # Numbers beyond the dtype become infinite.
            if is_sparse and not self.center.any():
                return sparse.csr_matrix(x.multiply(1 / self.scale))
            scaled = np.empty(x.shape, dtype)
            for start in range(0, x.shape[0], _ROWS_AT_A_TIME):
                rows = slice(start, start + _ROWS_AT_A_TIME)
                block = x[rows].toarray() if is_sparse else x[rows]
                scaled[rows] = (block - self.center) / self.scale
        return scaled

    def undo(self, x: Array) -> Array:
        """Return the table that `apply` has scaled."""
        return x * self.scale + self.center


def no_scaling(features: int) -> Scaling:
    """Return the scaling that changes nothing.

    >>> no_scaling(2).apply(np.array([[3.0, 4.0]]))
    array([[3., 4.]])
    """
    return Scaling(np.zeros(features), np.ones(features))


def standard_scaling(x: Array, weights: Array | None) -> Scaling:
    """Return the scaling to mean 0 and standard deviation 1. Constant columns are only centred.

    Args:
        x: a table, `(rows, features)`.
        weights: weight of each row, `(rows,)`, or None for equal weights.
    """
    mean, std = _mean_and_std(x, weights)
    return Scaling(mean, _zeros_to_ones(std))


def robust_scaling(x: Any, weights: Array | None) -> Scaling:
    """Return the scaling by median and quartiles, on which outliers have little influence.

    The distance of the quartiles of a normal distribution becomes 1.349, so that its standard
    deviation becomes 1. If the quartiles of a column are equal, its standard deviation becomes 1.
    If such a column has only two values, as flags that are mostly 0, their distance becomes 1: with
    a standard deviation of 1, the rarest flags would be the largest inputs. Constant columns are
    only centred. Sparse tables with more than `MOST_CENTRED` entries are not centred, because they
    would not stay sparse. The root mean squares of their columns become 1, or the one number that a
    column has besides 0.

    Args:
        x: a table, `(rows, features)`, dense or sparse.
        weights: weight of each row, `(rows,)`, or None for equal weights.

    >>> scaling = robust_scaling(np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]]), None)
    >>> scaling.center, scaling.scale.round(2)
    (array([3.]), array([1.48]))
    """
    if sparse.issparse(x) and math.prod(x.shape) > MOST_CENTRED:
        return _sparse_scaling(x, weights)
    if sparse.issparse(x):
        x = x.toarray()
    low, median, high = _quantiles(x, (0.25, 0.5, 0.75), weights)
    spread = (high - low) / _NORMAL_QUARTILES
    flat = spread == 0
    spread[flat] = _mean_and_std(x[:, flat], weights)[1]
    for column in np.flatnonzero(flat):
        values = x[:, column]
        if ((values == values.min()) | (values == values.max())).all():
            spread[column] = np.ptp(values)
    return Scaling(median, _zeros_to_ones(spread))


def _sparse_scaling(x: Any, weights: Array | None) -> Scaling:
    """Return the scaling of a sparse table whose columns are not centred."""
    rows = np.ones(x.shape[0]) if weights is None else weights
    sizes, squares, ones = abs(x), x.multiply(x), np.ones(x.shape[0])
    largest = sizes.max(axis=0).toarray().ravel()
    is_flag = squares.T @ ones == largest * (sizes.T @ ones)
    scale = np.where(is_flag, largest, np.sqrt(squares.T @ rows / rows.sum()))
    return Scaling(np.zeros(x.shape[1]), _zeros_to_ones(scale))


def range_of_columns(x: Any) -> Array:
    """Return the least and the largest number of each column of a table, `(2, features)`.

    Args:
        x: a table, `(rows, features)`, dense or sparse.
    """
    ends = [x.min(axis=0), x.max(axis=0)]
    return np.stack([end.toarray().ravel() if sparse.issparse(end) else end for end in ends])


def clip_columns(x: Any, low: Array, high: Array) -> Any:
    """Return a table whose numbers are within limits of their columns. The table itself changes.

    Args:
        x: a table, `(rows, features)`, dense or sparse. A sparse table stays sparse.
        low: the least number of each column, `(features,)`.
        high: the largest number of each column, `(features,)`.

    >>> clip_columns(np.array([[-5.0, 0.5], [5.0, 7.0]]), np.zeros(2), np.array([1.0, 2.0]))
    array([[0. , 0.5],
           [1. , 2. ]])
    """
    if not sparse.issparse(x):
        return np.clip(x, low, high, out=x)
    clipped = sparse.csr_matrix(x)
    clipped.data.clip(low[clipped.indices], high[clipped.indices], out=clipped.data)
    excludes_zero = (low > 0) | (high < 0)
    if not excludes_zero.any():
        return clipped
    columns = clipped.tocsc()
    dense = columns[:, excludes_zero].toarray().clip(low[excludes_zero], high[excludes_zero])
    order = np.argsort(np.argsort(excludes_zero, kind="stable"))
    parts = [columns[:, ~excludes_zero], sparse.csc_matrix(dense)]
    return sparse.hstack(parts, format="csc")[:, order].tocsr()


def _zeros_to_ones(scale: Array) -> Array:
    return np.where(scale > 0, scale, 1.0)


def _mean_and_std(x: Array, weights: Array | None) -> tuple[Array, Array]:
    mean, std = np.empty(x.shape[1]), np.empty(x.shape[1])
    for number, column in enumerate(x.T):  # One by one, as in `_quantiles`.
        mean[number] = np.average(column, weights=weights)
        std[number] = np.sqrt(np.average((column - mean[number]) ** 2, weights=weights))
    return mean, std


def _quantiles(x: Array, shares: tuple[float, ...], weights: Array | None) -> Array:
    """Return quantiles of each column, `(shares, features)`.

    A quantile is the smallest value for which the rows up to it have this share of the weights. So
    a row with weight 2 counts as two rows.
    """
    rows = np.ones(len(x)) if weights is None else weights
    columns = []
    for column in x.T:  # One by one, because a large table should not be copied several times.
        order = np.argsort(column)
        below = np.cumsum(rows[order])
        columns.append(column[order[np.searchsorted(below, np.array(shares) * below[-1])]])
    return np.stack(columns, axis=1).astype(np.float64)
