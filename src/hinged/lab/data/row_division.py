"""Division of rows into training and test rows: at random, by groups, or in the order of time."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    StratifiedGroupKFold,
    TimeSeriesSplit,
    train_test_split,
)

from hinged import errors

TEST_SHARE = 0.3
"""Fraction of the samples in the test split, if the source of the data defines no test split."""
Rows = NDArray[np.int64]
"""Indices of rows, `(N,)`."""


class TrainTestRows(NamedTuple):
    """The rows of a training split and of a test split."""

    train: Rows
    test: Rows


def random_division(count: int, labels: Rows | None) -> TrainTestRows:
    """Divide rows at random: 70 % to train on, 30 % to test on.

    The division is the same at every call. Both parts contain the classes in the same proportions.

    Args:
        count: number of rows.
        labels: class index of each row, `(count,)`; None for a regression.

    Raises:
        DataError: if a class has a single row, which cannot be in both parts, or if there are more
            classes than test rows.
    """
    if labels is not None and np.bincount(labels).min() < 2:
        rare = int(np.bincount(labels).argmin())
        got = f"fewer than 2 samples of the class with index {rare}"
        hint = "give at least 2 samples of every class, or remove this class"
        raise errors.DataError(errors.message("data", got, hint))
    test_count = math.ceil(TEST_SHARE * count)
    if labels is not None and len(np.unique(labels)) > test_count:
        got = f"{len(np.unique(labels))} classes in {count} rows, of which {test_count} test"
        hint = "give more rows, so that each class is tested, or predict numbers: `table.task`"
        raise errors.DataError(errors.message("data", got, hint))
    rows = np.arange(count)
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=0, stratify=labels)
    return TrainTestRows(train, test)


@dataclass(frozen=True, eq=False)
class RowDivision(ABC):
    """A division of rows that keeps what belongs together on one side.

    Attributes:
        column: name of the column that decides.
        keys: key of each row of the table, `(N,)`. Rows with equal keys are on one side.
    """

    column: str
    keys: NDArray[Any]

    @property
    @abstractmethod
    def about(self) -> str:
        """Return which rows the test split contains, as the end of a sentence about the data."""

    @abstractmethod
    def divide(self) -> TrainTestRows:
        """Return about 70 % of the rows to train on and 30 % to test on."""

    @abstractmethod
    def folds(self, rows: Rows, labels: Rows | None, count: int) -> list[TrainTestRows]:
        """Divide rows into the folds of a cross-validation.

        Args:
            rows: rows of the table.
            labels: class index of each of these rows; None for a regression.
            count: number of folds.

        Raises:
            ArgumentError: if there are not enough different keys.
        """

    @abstractmethod
    def held_out(self, rows: Rows, share: float, seed: int) -> NDArray[np.bool_]:
        """Return which of the training rows are held out for validation.

        Args:
            rows: the training rows.
            share: fraction of the rows that are held out.
            seed: decides which rows are held out.

        Returns:
            True for each row that is held out, `(len(rows),)`.

        Raises:
            ArgumentError: if there are not enough different keys.
        """

    def _check_keys(self, setting: str, rows: Rows, needed: int) -> None:
        """Raise an error if rows have fewer different keys than needed."""
        found = len(np.unique(self.keys[rows]))
        if found < needed:
            values = "1 value" if found == 1 else f"{found} different values"
            got = f"only {values} of {self.column} in the rows to divide"
            hint = f"at least {needed} are needed: choose another column for `table.split`"
            hint += ", or fewer folds" * (setting == "folds")
            raise errors.ArgumentError(errors.message(setting, got, hint))


class GroupDivision(RowDivision):
    """A division at random that keeps all rows of a group on one side."""

    @property
    def about(self) -> str:
        """Return which rows the test split contains, as the end of a sentence about the data."""
        return f"30 % of the groups of {self.column} to test on"

    def divide(self) -> TrainTestRows:
        """Return the rows of 70 % of the groups to train on, and those of 30 % to test on."""
        rows = np.arange(len(self.keys))
        self._check_keys("table.split", rows, 2)
        divide = GroupShuffleSplit(1, test_size=TEST_SHARE, random_state=0)
        return TrainTestRows(*next(divide.split(rows, groups=self.keys)))

    def folds(self, rows: Rows, labels: Rows | None, count: int) -> list[TrainTestRows]:
        """Divide rows into folds of whole groups, with similar proportions of the classes."""
        self._check_keys("folds", rows, count)
        groups = self.keys[rows]
        if labels is None or np.bincount(labels).max() < count:
            found = list(GroupKFold(count).split(rows, groups=groups))
        else:
            divide = StratifiedGroupKFold(count, shuffle=True, random_state=0)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The least populated class")
                found = list(divide.split(rows, labels, groups=groups))
        return [TrainTestRows(rows[train], rows[test]) for train, test in found]

    def held_out(self, rows: Rows, share: float, seed: int) -> NDArray[np.bool_]:
        """Return which training rows are held out: those of a random share of the groups."""
        self._check_keys("training.validation", rows, 2)
        groups = np.unique(self.keys[rows])
        count = min(math.ceil(share * len(groups)), len(groups) - 1)
        divide = GroupShuffleSplit(1, test_size=count, random_state=seed)
        _, places = next(divide.split(rows, groups=self.keys[rows]))
        held_out = np.zeros(len(rows), dtype=bool)
        held_out[places] = True
        return held_out


class TimeDivision(RowDivision):
    """A division that trains on earlier rows and tests on later rows."""

    @property
    def about(self) -> str:
        """Return which rows the test split contains, as the end of a sentence about the data."""
        share = len(self.divide().test) / len(self.keys)
        return f"the last {100 * share:.0f} % in the order of {self.column} to test on"

    def divide(self) -> TrainTestRows:
        """Return the earlier 70 % of the rows to train on, and the later 30 % to test on."""
        rows = np.arange(len(self.keys))
        later = self._later(rows, TEST_SHARE, "table.split")
        return TrainTestRows(rows[~later], rows[later])

    def folds(self, rows: Rows, labels: Rows | None, count: int) -> list[TrainTestRows]:  # noqa: ARG002  (times decide alone)
        """Divide rows into consecutive parts. Each fold tests on a part and trains on all before.

        The first part is in no test split, so the rows are divided into `count + 1` parts.
        """
        self._check_keys("folds", rows, count + 1)
        times, place = np.unique(self.keys[rows], return_inverse=True)
        found = TimeSeriesSplit(count).split(times)
        return [
            TrainTestRows(rows[np.isin(place, train)], rows[np.isin(place, test)])
            for train, test in found
        ]

    def held_out(self, rows: Rows, share: float, seed: int) -> NDArray[np.bool_]:  # noqa: ARG002  (times decide alone)
        """Return which training rows are held out: the latest ones, for every seed."""
        return self._later(rows, share, "training.validation")

    def _later(self, rows: Rows, share: float, setting: str) -> NDArray[np.bool_]:
        """Return which rows are among the latest share. Rows of one time stay together."""
        self._check_keys(setting, rows, 2)
        keys = self.keys[rows]
        times = np.sort(keys)
        first = max(times[len(times) - max(1, round(share * len(times)))], np.unique(keys)[1])
        return np.asarray(keys >= first)
