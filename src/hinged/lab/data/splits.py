"""Training and test split as they were read, checked, and made smaller."""

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
"""Share kept to test on where a source is not divided."""


@dataclass(frozen=True, eq=False)
class Splits:
    """What a source of data gives, not yet scaled.

    Attributes:
        about: what it is and how it is split, in a sentence.
        x_train, x_test: `(N, features)` floats, or `(N, C, H, W)` in uint8 or floats.
        y_train, y_test: class indices `(N,)`, targets `(N, targets)`, or others the problem asks.
        problem: what is asked of a network.
    """

    about: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    problem: Problem


def check(name: str, splits: Splits) -> Splits:
    """Return the splits, or raise where no network can be trained on them.

    Raises:
        DataError: a split without samples, other numbers of inputs than of targets, labels out of
            range, values that are not finite.
    """
    for split in ("train", "test"):
        x, y = (
            (splits.x_train, splits.y_train) if split == "train" else (splits.x_test, splits.y_test)
        )
        fault = _fault(x, y, splits.problem)
        if fault:
            raise errors.DataError(
                errors.message(name, f"a {split} split with {fault[0]}", fault[1])
            )
    return splits


def _fault(x: Tensor, y: Tensor, problem: Problem) -> Fault | None:
    """Return what is wrong with a split and what to do about it."""
    if not len(x) or len(x) != len(y):
        return f"{len(x)} inputs and {len(y)} targets", "give as many of both, and at least one"
    for kind, values in (("column", x), ("target", y)):
        places = _not_finite(values)
        if places:
            shown = ", ".join(str(place) for place in places[:5])
            return f"values that are not finite in {kind} {shown}", "fill them or leave them out"
    return problem.fault(y)


def _not_finite(values: Tensor) -> list[int]:
    """Return the places on axis 1 where a value is NaN or infinite."""
    if not values.is_floating_point():
        return []
    columns = values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1)
    return (~columns.isfinite()).any(dim=2).any(dim=0).nonzero().flatten().tolist()


def subset(splits: Splits, train_size: int | None, test_size: int | None) -> Splits:
    """Return the splits with so many samples; None leaves a split whole.

    Which samples depends on the data alone, never on a run's seed; classes keep their shares, and
    a smaller subset is part of every larger one.

    Raises:
        ArgumentError: more samples than there are, or fewer than classes.
    """
    if train_size is None and test_size is None:
        return splits
    classes = splits.problem.classes
    train = _rows("--train-size", splits.y_train, train_size, classes)
    test = _rows("--test-size", splits.y_test, test_size, classes)
    return Splits(
        f"{splits.about}; of these {len(train):,} to train on and {len(test):,} to test on",
        splits.x_train[train],
        splits.y_train[train],
        splits.x_test[test],
        splits.y_test[test],
        splits.problem,
    )


def _rows(option: str, y: Tensor, size: int | None, classes: int | None) -> Tensor:
    if size is None:
        return torch.arange(len(y))
    least = classes or 2
    if not least <= size <= len(y):
        hint = f"there are {len(y):,} samples, and at least {least} are needed"
        raise errors.ArgumentError(errors.message(option, f"{size:,}", hint))
    return chosen(y, size, classes)


def chosen(y: Tensor, size: int, classes: int | None) -> Tensor:
    """Return the rows of a subset, ascending, `(size,)`.

    Rows are shuffled once and for all; with classes, row `i` of the `n` of its class stands at
    `(i + 1/2) / n`, and the first `size` in this order have every class in its share, to one row.

    Args:
        y: class indices `(N,)` or targets.
        size: how many rows.
        classes: number of classes, or None.

    >>> chosen(torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 0]), 3, 2).tolist()
    [0, 3, 8]
    """
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    if classes is not None:
        place = torch.empty(len(y), dtype=torch.float64)
        for label in range(classes):
            rows = (y[order] == label).nonzero().flatten()
            place[rows] = (torch.arange(len(rows)) + 0.5).double() / max(1, len(rows))
        order = order[place.argsort(stable=True)]
    return order[:size].sort().values


def table_about(x: Tensor, y: Tensor, classes: int | None) -> str:
    """Return the sentence on a table."""
    task = f"{classes} classes"
    if classes is None:
        task = "regression" + (f" of {y.shape[1]} targets" if y.shape[1] > 1 else "")
    return f"{len(x):,} rows of {x.shape[1]} columns, {task}; 30 % to test on"


def divided(about: str, x: Tensor, y: Tensor, classes: int | None) -> Splits:
    """Return the rows divided at random, the same way every time; classes keep their shares.

    Raises:
        DataError: a class has a single row, which cannot be in both splits.
    """
    labels = None if classes is None else y.numpy()
    if labels is not None and np.bincount(labels).min() < 2:
        rare = int(np.bincount(labels).argmin())
        hint = "give every class at least 2, or leave it out"
        raise errors.DataError(errors.message("--data", f"a single sample of class {rare}", hint))
    train, test = train_test_split(
        np.arange(len(x)), test_size=TEST_SHARE, random_state=0, stratify=labels
    )
    problem = Regression(y.shape[1]) if classes is None else Classification(classes)
    return Splits(about, x[train], y[train], x[test], y[test], problem)
