"""The tables of `benchmarks/estimators.py`: public tables of numbers with one target, and folds.

The tables for regression are those of the folder in the environment variable `HINGED_DATA`, and one
of scikit-learn. The tables for classification are those of scikit-learn and of the package river,
where it is installed. All tables that these sources have with one target are here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold

from hinged.lab.data.readers.data_files import find_data_folder
from hinged.lab.data.readers.regression_tables import read_table_arrays

FOLDS = 10
"""Number of folds of each table."""

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Table:
    """A table.

    Attributes:
        x: the inputs, `(rows, features)`.
        y: the target, `(rows,)`: numbers, or class numbers.
        is_classification: whether the target is a class.
        all_rows: number of rows of the whole table, of which these are a sample.
    """

    x: NDArray[np.float64]
    y: Array
    is_classification: bool
    all_rows: int

    def folds(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Return the numbers of the training rows and of the test rows of each fold.

        They are the same at every call. Classes have the same shares in all folds.
        """
        kind = StratifiedKFold if self.is_classification else KFold
        return list(kind(FOLDS, shuffle=True, random_state=0).split(self.x, self.y))


def _of_folder(name: str) -> tuple[Array, Array]:
    x, y = read_table_arrays(name, find_data_folder(None))
    return x.numpy(), y.numpy()[:, 0]


def _of_river(name: str) -> tuple[Array, Array]:
    """Read a table of the package river, which yields row by row."""
    from river import datasets as river_datasets

    rows = list(getattr(river_datasets, name)())
    x = np.array([list(map(float, inputs.values())) for inputs, _ in rows])
    return x, np.unique([str(label) for _, label in rows], return_inverse=True)[1]


def _of_sklearn(name: str) -> tuple[Array, Array]:
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x, y


Reader = Callable[[], tuple[Array, Array]]

REGRESSION: dict[str, Reader] = {
    "diabetes": functools.partial(_of_sklearn, "diabetes"),
    **{
        name: functools.partial(_of_folder, name)
        for name in (
            *("california_housing", "concrete", "energy", "kin8nm", "naval", "power_plant"),
            *("protein", "wine_red", "wine_white", "yacht"),
        )
    },
}
CLASSIFICATION: dict[str, Reader] = {
    **{
        name: functools.partial(_of_sklearn, name)
        for name in ("breast_cancer", "digits", "iris", "wine")
    },
    "bananas": functools.partial(_of_river, "Bananas"),
    "image_segments": functools.partial(_of_river, "ImageSegments"),
    "phishing": functools.partial(_of_river, "Phishing"),
}
NEED_RIVER = ("bananas", "image_segments", "phishing")

SEEN = ("breast_cancer", "concrete", "diabetes", "digits", "kin8nm", "wine_red")
"""The tables on which the defaults of `hinged.sklearn` were chosen."""


def known_tables() -> list[str]:
    """Return the names of all tables whose package is installed."""
    has_river = find_spec("river") is not None
    names = [*REGRESSION, *CLASSIFICATION]
    return [name for name in names if has_river or name not in NEED_RIVER]


@functools.cache
def load_table(name: str, rows: int) -> Table:
    """Return a table, or a random sample of its rows if it has more than `rows` rows.

    Args:
        name: a name in `known_tables`.
        rows: the largest number of rows. The sample is the same at every call.
    """
    is_classification = name in CLASSIFICATION
    x, y = (CLASSIFICATION if is_classification else REGRESSION)[name]()
    sample = np.random.default_rng(0).permutation(len(x))[:rows]
    return Table(
        np.ascontiguousarray(x[sample], dtype=np.float64), y[sample], is_classification, len(x)
    )
