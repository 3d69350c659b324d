"""Training and test splits before scaling: checks, random division and subsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.row_division import random_division
from hinged.lab.data.tables.table_notes import NO_NOTES, TableNotes, listed
from hinged.lab.data.tables.table_rows import TableRows
from hinged.lab.problems import Classification, Problem, Regression
from hinged.lab.problems.problem import Fault


@dataclass(frozen=True, eq=False)
class TrainTestSplit:
    """The training and test split of a data set before scaling.

    Attributes:
        about: sentence that describes the data and the division into splits.
        x_train: training inputs: a table of floats `(N, features)`, or images `(N, C, H, W)` in
            uint8 or floats.
        y_train: training targets: class indices `(N,)`, numbers to predict `(N, targets)`, or boxes
            `(N, M, 5)` as described in `Detection`.
        x_test: test inputs, in the same form as `x_train`.
        y_test: test targets, in the same form as `y_train`.
        problem: task of the data set, which defines the loss and the score.
        notes: sentences about the columns of a table of the user.
        source: the rows of a table whose encoding depends on the training rows, or whose rows
            belong together. None for all other data.
    """

    about: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    problem: Problem
    notes: TableNotes = NO_NOTES
    source: TableRows | None = None


class _Splits(Protocol):
    """The attributes that a `TrainTestSplit` and a `DataSet` have in common."""

    @property
    def x_train(self) -> Tensor: ...
    @property
    def y_train(self) -> Tensor: ...
    @property
    def x_test(self) -> Tensor: ...
    @property
    def y_test(self) -> Tensor: ...
    @property
    def problem(self) -> Problem: ...


_AnySplits = TypeVar("_AnySplits", bound=_Splits)


def check_split(call: str, data: _AnySplits) -> _AnySplits:
    """Return the data unchanged, or raise an error if the data are unsuitable for training.

    Args:
        call: name of the data; error messages begin with this name.
        data: training and test split to check: a `TrainTestSplit` or a `DataSet`.

    Raises:
        DataError: if a split has no samples, if the numbers of inputs and targets differ, if a
            value is not finite, if the targets do not fit the problem, or if there is only one
            class or a constant target.
    """
    for split in ("train", "test"):
        x, y = (data.x_train, data.y_train) if split == "train" else (data.x_test, data.y_test)
        fault = _split_fault(x, y, data.problem)
        if fault:
            raise errors.DataError(
                errors.message(call, f"a {split} split with {fault[0]}", fault[1])
            )
    fault = data.problem.constant_fault(data.y_train, data.y_test)
    if fault:
        raise errors.DataError(errors.message(call, *fault))
    return data


def _split_fault(x: Tensor, y: Tensor, problem: Problem) -> Fault | None:
    """Return the first fault of a split with inputs `x` and targets `y`, or None without a fault.

    A fault is a description and a hint how to correct it.
    """
    if not len(x) or len(x) != len(y):
        return (
            f"{len(x)} inputs and {len(y)} targets",
            "give equal numbers of inputs and targets, at least 1",
        )
    for kind, values in (("column", x), ("target", y)):
        places = _describe_not_finite(values)
        if places:
            return (
                f"NaN or infinite values in {kind} {places} (counted from 0)",
                "replace these values or remove the samples",
            )
    return problem.target_fault(y)


def _describe_not_finite(values: Tensor) -> str:
    """Return which columns (along axis 1) and samples contain a NaN or an infinite value.

    The text is empty if all values are finite.
    """
    if not values.is_floating_point():
        return ""
    wrong = ~values.reshape(len(values), values.shape[1] if values.ndim > 1 else 1, -1).isfinite()
    columns, samples = (
        wrong.any(dim=2).any(dim=axis).nonzero().flatten().tolist() for axis in (0, 1)
    )
    shown = [", ".join(map(str, found[:5])) for found in (columns, samples)]
    return f"{shown[0]} of sample {shown[1]}{' ...' * (len(samples) > 5)}" if samples else ""


def take_subset(
    data: TrainTestSplit, train_size: int | None, test_size: int | None
) -> TrainTestSplit:
    """Return the data with fewer training and test samples.

    The selection is the same at every call and does not depend on a seed. The proportions of the
    classes stay the same. A larger subset contains all samples of a smaller subset.

    Args:
        data: training and test split.
        train_size: number of training samples; None takes all.
        test_size: number of test samples; None takes all.

    Raises:
        ArgumentError: if a size is larger than the number of samples, or smaller than the number of
            classes (without classes: smaller than 2).
    """
    if train_size is None and test_size is None:
        return data
    classes = data.problem.classes
    train = _subset_rows_checked("train_size", data.y_train, train_size, classes)
    test = _subset_rows_checked("test_size", data.y_test, test_size, classes)
    about = f"{data.about}; of these {len(train):,} to train on and {len(test):,} to test on"
    if data.source is not None:
        return replace(encode_table(data.source.subset(train.numpy(), test.numpy())), about=about)
    return replace(
        data,
        about=about,
        x_train=data.x_train[train],
        y_train=data.y_train[train],
        x_test=data.x_test[test],
        y_test=data.y_test[test],
    )


def _subset_rows_checked(setting: str, y: Tensor, size: int | None, classes: int | None) -> Tensor:
    if size is None:
        return torch.arange(len(y))
    least = classes or 2
    if not least <= size <= len(y):
        hint = f"choose a number from {least:,} to {len(y):,}, the size of the split"
        raise errors.ArgumentError(errors.message(setting, f"{size:,}", hint))
    return subset_rows(y, size, classes)


def subset_rows(y: Tensor, size: int, classes: int | None, seed: int = 0) -> Tensor:
    """Return the row indices of a random subset, in ascending order.

    Every call with the same seed returns the same rows. Without classes, the rows are shuffled, and
    the first `size` rows are selected. With classes, every class has the same proportion in the
    subset as in `y`, with a difference of at most one row. The rows are then selected in four
    steps:

    1. The rows are shuffled.
    2. The `n` rows of each class are numbered in this order, from `i = 0` to `n - 1`.
    3. All rows are sorted by `(i + 1/2) / n`.
    4. The first `size` rows are selected.

    Args:
        y: class indices `(N,)`, or other targets of `N` samples.
        size: number of rows to select.
        classes: number of classes, or None if `y` does not contain class indices.
        seed: decides how the rows are shuffled.

    Returns:
        Row indices in int64, `(size,)`.

    >>> subset_rows(torch.tensor([0, 1, 0, 1, 0, 1, 0, 0, 0]), 3, 2).tolist()
    [0, 3, 8]
    """
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    if classes is not None:
        position = torch.empty(len(y), dtype=torch.float64)
        for label in range(classes):
            rows = (y[order] == label).nonzero().flatten()
            position[rows] = (torch.arange(len(rows)) + 0.5).double() / max(1, len(rows))
        order = order[position.argsort(stable=True)]
    return order[:size].sort().values


def encode_table(rows: TableRows) -> TrainTestSplit:
    """Return the splits of a table, encoded with what its training rows contain.

    Args:
        rows: the table, and its training and test rows.
    """
    table, (x_train, x_test) = rows.table, rows.encode()
    y_train, y_test = table.y[rows.train], table.y[rows.test]
    about = describe_table(x_train, table.y, table.problem.classes, rows.about, len(table.columns))
    warnings = (*table.notes.warnings, *_warn_of_new_classes(table.problem, y_train, y_test))
    notes = table.notes._replace(warnings=warnings)
    return TrainTestSplit(about, x_train, y_train, x_test, y_test, table.problem, notes, rows)


def _warn_of_new_classes(problem: Problem, y_train: Tensor, y_test: Tensor) -> Iterator[str]:
    """Yield a sentence if test rows have classes that no training row has."""
    if not isinstance(problem, Classification):
        return
    new = sorted(set(y_test.tolist()) - set(y_train.tolist()))
    if new:
        names = listed(problem.names[each] for each in new)
        yield f"Classes that test rows have, and no training row: {names}. No network learns them."


def describe_table(
    x: Tensor,
    y: Tensor,
    classes: int | None,
    test: str = "30 % to test on",
    columns: int | None = None,
) -> str:
    """Return a sentence that describes a table: rows, columns, task and test split.

    Args:
        x: inputs `(M, features)` of any number of rows.
        y: class indices `(N,)` of all rows, or numbers to predict `(N, targets)`.
        classes: number of classes; None for a regression.
        test: which rows the test split contains.
        columns: number of columns, if it is not the number of features.
    """
    task = f"{classes} classes"
    if classes is None:
        task = "regression" + (f" of {y.shape[1]} targets" if y.shape[1] > 1 else "")
    features = x.shape[1]
    inputs = "" if columns is None else f", {features} input{'s' * (features != 1)}"
    columns = columns or features
    return f"{len(y):,} rows of {columns} column{'s' * (columns != 1)}{inputs}, {task}; {test}"


def split_at_random(
    about: str, x: Tensor, y: Tensor, classes: int | None, names: tuple[str, ...] = ()
) -> TrainTestSplit:
    """Divide samples at random into a training split (70 %) and a test split (30 %).

    The division is the same at every call. Both splits contain the classes in the same proportions.

    Args:
        about: sentence that describes the data and the division.
        x: inputs of all samples, `(N, ...)`.
        y: class indices `(N,)`, or numbers to predict `(N, targets)`.
        classes: number of classes; None for a regression.
        names: names of the classes or of the numbers to predict; empty if they have none.

    Raises:
        DataError: if a class has a single sample, which cannot be in both splits.
    """
    rows = random_division(len(x), None if classes is None else y.numpy())
    train, test = map(torch.from_numpy, rows)
    problem = Regression(y.shape[1], names) if classes is None else Classification(classes, names)
    return TrainTestSplit(about, x[train], y[train], x[test], y[test], problem)
