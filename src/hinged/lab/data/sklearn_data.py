"""The small data sets that are part of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn import datasets

from hinged.lab.data.train_test_split import TrainTestSplit, describe_table, split_at_random
from hinged.lab.problems import Classification


def _digits() -> TrainTestSplit:
    bunch = datasets.load_digits()
    half = len(bunch.images) // 2
    images = (
        torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    )  # Values are integers, 0 to 16.
    labels = torch.from_numpy(bunch.target)
    return TrainTestSplit(
        "1,797 handwritten digits of 8 x 8 pixels; the first half to train on, the second half to "
        "test on, as in scikit-learn's own example",
        images[:half],
        labels[:half],
        images[half:],
        labels[half:],
        Classification(10),
    )


def _table(loader: Callable[[], Any], classes: int | None) -> TrainTestSplit:
    bunch = loader()
    x, y = (torch.from_numpy(np.asarray(part)) for part in (bunch.data, bunch.target))
    if classes is None:
        return split_at_random(describe_table(x, y.unsqueeze(1), None), x, y.unsqueeze(1), None)
    names = tuple(map(str, bunch.target_names))
    return split_at_random(describe_table(x, y, classes), x, y, classes, names)


SKLEARN_DATA: dict[str, Callable[[], TrainTestSplit]] = {
    "breast_cancer": partial(_table, datasets.load_breast_cancer, 2),
    "diabetes": partial(_table, datasets.load_diabetes, None),
    "digits": _digits,
    "iris": partial(_table, datasets.load_iris, 3),
    "wine": partial(_table, datasets.load_wine, 3),
}
"""Functions that return the data sets of scikit-learn, by name. Nothing is downloaded."""
