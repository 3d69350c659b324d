"""Input columns that tell the target exactly, such as the same number in another unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hinged.lab.data.tables.columns import Column

_ROUNDING = 1e-9
"""Largest difference of a correlation from 1 that counts as rounding."""


def warn_of_leaks(columns: Sequence[Column], y: Tensor, targets: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each input column that tells a target exactly.

    A column tells a class if it has one value for each class. It tells a number if the number is a
    linear function of it.

    Args:
        columns: the columns.
        y: class indices `(N,)`, or numbers to predict `(N, targets)`.
        targets: names of the target columns.
    """
    for column in columns:
        if column.kind == "left out":
            continue
        for name, target in zip(targets, y.reshape(len(y), -1).T.numpy(), strict=True):
            values = column.values[:, 0]
            tells = (
                _tells_class(values, target)
                if y.ndim == 1
                else (column.kind == "numbers" and _tells_number(values, target))
            )
            if tells:
                yield (
                    f"{column.name}: tells {name} exactly in every row, so the scores may mean "
                    f"nothing. If it is not known before {name}, leave it out (--leave-out "
                    f"{column.name})."
                )


def _tells_class(values: NDArray[np.float64], classes: NDArray[np.int64]) -> bool:
    _, codes = np.unique(values, return_inverse=True)
    pairs = np.unique(np.stack([codes, classes]), axis=1)
    return bool(pairs.shape[1] == codes.max() + 1 == classes.max() + 1)


def _tells_number(values: NDArray[np.float64], numbers: NDArray[np.float64]) -> bool:
    if len(values) < 3 or np.isnan(values).any() or (values == values[0]).all():
        return False
    with np.errstate(over="ignore", invalid="ignore"):  # Of huge numbers, it is NaN.
        return bool(abs(np.corrcoef(values, numbers)[0, 1]) >= 1 - _ROUNDING)
