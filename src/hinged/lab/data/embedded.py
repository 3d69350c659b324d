"""The small data sets that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets

from hinged.lab.data.splits import Splits, divided, table_about
from hinged.lab.problems import Classification

Arrays = tuple[NDArray[np.float64], NDArray[np.generic]]


def _digits() -> Splits:
    bunch = datasets.load_digits()
    half = len(bunch.images) // 2
    images = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)  # Whole, 0 to 16.
    labels = torch.from_numpy(bunch.target)
    return Splits(
        "1,797 handwritten digits of 8 x 8 pixels; the first half to train on, the second half to "
        "test on, as in scikit-learn's own example",
        images[:half],
        labels[:half],
        images[half:],
        labels[half:],
        Classification(10),
    )


def _table(loader: Callable[..., Arrays], classes: int | None) -> Splits:
    x, y = (torch.from_numpy(np.asarray(part)) for part in loader(return_X_y=True))
    if classes is None:
        y = y.unsqueeze(1)
    return divided(table_about(x, y, classes), x, y, classes)


EMBEDDED: dict[str, Callable[[], Splits]] = {
    "breast_cancer": partial(_table, datasets.load_breast_cancer, 2),
    "diabetes": partial(_table, datasets.load_diabetes, None),
    "digits": _digits,
    "iris": partial(_table, datasets.load_iris, 3),
    "wine": partial(_table, datasets.load_wine, 3),
}
"""They need neither a folder nor a network."""
