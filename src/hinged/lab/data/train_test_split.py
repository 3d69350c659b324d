"""Training and test data as they are read: checked, divided, and reduced to subsets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from hinged import errors
from hinged.lab.problems import Classification, Problem, Regression
from hinged.lab.problems.problem import Fault

TEST_SHARE = 0.3
"""Share of the samples to test on if the source has no test split of its own."""


@dataclass(frozen=True, eq=False)
class TrainTestSplit:
    """The training and test split of a data set, not yet scaled.

    Attributes:
        about: a sentence on the data and how they are split.
        x_train: inputs, `(N, features)` floats, or `(N, C, H, W)` in uint8 or floats.
        y_train: class indices `(N,)`, targets `(N, targets)`, or other targets of the problem.
        x_test: inputs of the test split.
        y_test: targets of the test split.
        problem: the task.
    """

    about: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    problem: Problem


def check_split(call: str, data: TrainTestSplit) -> TrainTestSplit:
    """Return the data, or raise if no network can be trained on them.

    Args:
        call: names the data in the error message.
        data: training and test split.

    Raises:
        DataError: a split without samples, different numbers of inputs and targets, labels out of
            range, or values that are not finite.
    """
    for split in ("train", "test"):
        x, y = (data.x_train, data.y_train) if split == "train" else (data.x_test, data.y_test)
        fault = _split_fault(x, y, data.problem)
        if fault:
            raise errors.DataError(
                errors.message(call, f"a {split} split with {fault[0]}", fault[1])
            )
    return data


def _split_fault(x: Tensor, y: Tensor, problem: Problem) -> Fault | None:
    """Return a fault of a split, or None."""
    if not len(x) or len(x) != len(y):
        return f"{len(x)} inputs and {len(y)} targets", "give the same number of both, at least one"
    for kind, values in (("column", x), ("target", y)):
        columns = _columns_not_finite(values)
        if columns:
            shown = ", ".join(str(column) for column in columns[:5])
            return f"values that are not finite in {kind} {shown}", "replace them or leave them out"
    return problem.target_fault(y)


def _columns_not_finite(values: Tensor) -> list[int]:
    """Return the indices on axis 1 that have a NaN or an infinity."""
    if not values.is_floating_point():
        return []
    columns = values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1)
    return (~columns.isfinite()).any(dim=2).any(dim=0).nonzero().flatten().tolist()


def take_subset(
    data: TrainTestSplit, train_size: int | None, test_size: int | None
) -> TrainTestSplit:
    """Return the data with `train_size` and `test_size` samples; None takes all.

    The choice depends only on the data, never on a seed. Classes keep their shares, and a smaller
    subset is part of every larger one.

    Raises:
        ArgumentError: more samples than there are, or fewer samples than classes.
    """
    if train_size is None and test_size is None:
        return data
    classes = data.problem.classes
    train = _subset_rows_checked("train_size", data.y_train, train_size, classes)
    test = _subset_rows_checked("test_size", data.y_test, test_size, classes)
    return TrainTestSplit(
        f"{data.about}; of these {len(train):,} to train on and {len(test):,} to test on",
        data.x_train[train],
        data.y_train[train],
        data.x_test[test],
        data.y_test[test],
        data.problem,
    )


def _subset_rows_checked(setting: str, y: Tensor, size: int | None, classes: int | None) -> Tensor:
    if size is None:
        return torch.arange(len(y))
    least = classes or 2
    if not least <= size <= len(y):
        hint = f"there are {len(y):,} samples, and at least {least} are needed"
        raise errors.ArgumentError(errors.message(setting, f"{size:,}", hint))
    return subset_rows(y, size, classes)


def subset_rows(y: Tensor, size: int, classes: int | None) -> Tensor:
    """Return the row numbers of a subset, ascending, `(size,)`.

    Rows are shuffled in the same way at every call, and the first `size` are taken. With classes,
    they are first sorted by `(i + 1/2) / n`, for row `i` of the `n` rows of its class. The first
    `size` rows in this order have every class in its share, to within one row.

    Args:
        y: class indices `(N,)` or targets.
        size: number of rows.
        classes: number of classes, or None.

    >>> subset_rows(torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 0]), 3, 2).tolist()
    [0, 3, 8]
    """
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    if classes is not None:
        position = torch.empty(len(y), dtype=torch.float64)
        for label in range(classes):
            rows = (y[order] == label).nonzero().flatten()
            position[rows] = (torch.arange(len(rows)) + 0.5).double() / max(1, len(rows))
        order = order[position.argsort(stable=True)]
    return order[:size].sort().values


def describe_table(x: Tensor, y: Tensor, classes: int | None) -> str:
    """Return a sentence on a table that `split_at_random` divides."""
    task = f"{classes} classes"
    if classes is None:
        task = "regression" + (f" of {y.shape[1]} targets" if y.shape[1] > 1 else "")
    return f"{len(x):,} rows of {x.shape[1]} columns, {task}; 30 % to test on"


def split_at_random(about: str, x: Tensor, y: Tensor, classes: int | None) -> TrainTestSplit:
    """Return the rows divided into 70 % to train on and 30 % to test on. The division is random
    but the same at every call; classes keep their shares.

    Raises:
        DataError: a class has a single row, which cannot be in both splits.
    """
    labels = None if classes is None else y.numpy()
    if labels is not None and np.bincount(labels).min() < 2:
        rare = int(np.bincount(labels).argmin())
        hint = "give every class at least 2, or leave it out"
        raise errors.DataError(errors.message("data", f"a single sample of class {rare}", hint))
    train, test = train_test_split(
        np.arange(len(x)), test_size=TEST_SHARE, random_state=0, stratify=labels
    )
    problem = Regression(y.shape[1]) if classes is None else Classification(classes)
    return TrainTestSplit(about, x[train], y[train], x[test], y[test], problem)
