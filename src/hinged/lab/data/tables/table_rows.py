"""The rows of a table of the user, and their encoding with what the training rows contain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from torch import Tensor

from hinged.lab.data.row_division import RowDivision, Rows, TrainTestRows, random_division
from hinged.lab.data.tables.columns import MOST_LEVELS, Column
from hinged.lab.data.tables.table_notes import TableNotes
from hinged.lab.problems import Problem


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table of the user before its encoding.

    Attributes:
        columns: the input columns.
        y: class indices `(N,)`, or numbers to predict `(N, targets)`.
        problem: the task.
        division: how rows are divided; None divides them at random.
        notes: sentences about the columns.
    """

    columns: tuple[Column, ...]
    y: Tensor
    problem: Problem
    division: RowDivision | None
    notes: TableNotes

    @property
    def is_plain(self) -> bool:
        """Whether all inputs are numbers without missing values, and rows are divided at random.

        The training rows of such a table decide nothing but the scale of the inputs.
        """
        inputs = (column for column in self.columns if column.kind != "left out")
        complete = all(each.kind == "numbers" and not each.missing for each in inputs)
        return complete and self.division is None

    @property
    def labels(self) -> Rows | None:
        """Return the class index of each row, `(N,)`, or None for a regression."""
        return None if self.problem.classes is None else self.y.numpy()

    def values(self) -> NDArray[np.float64]:
        """Return the values of all columns before their encoding, `(N, P)`, NaN where missing."""
        return np.concatenate([column.values for column in self.columns], axis=1)

    def divide(self) -> TableRows:
        """Return the table with its training and test rows."""
        rows = (
            self.division.divide() if self.division else random_division(len(self.y), self.labels)
        )
        return TableRows(self, *rows)


@dataclass(frozen=True, eq=False)
class TableRows:
    """A table with its training and test rows.

    Attributes:
        table: the table.
        train: indices of the training rows.
        test: indices of the test rows.
    """

    table: RawTable
    train: Rows
    test: Rows

    @property
    def about(self) -> str:
        """Return which rows the test split contains, as the end of a sentence about the data."""
        division = self.table.division
        return "30 % to test on" if division is None else division.about

    def subset(self, train: Rows, test: Rows) -> TableRows:
        """Return the table with some of its training and test rows.

        Args:
            train: positions in `self.train`.
            test: positions in `self.test`.
        """
        return replace(self, train=self.train[train], test=self.test[test])

    def without_training_rows(self, removed: NDArray[np.bool_]) -> TableRows:
        """Return the table without some training rows.

        Args:
            removed: whether each row of `self.train` is removed.
        """
        return replace(self, train=self.train[~removed])

    def with_rows(self, rows: TrainTestRows) -> TableRows:
        """Return the table with other training and test rows."""
        return replace(self, train=rows.train, test=rows.test)

    def encode(self) -> tuple[Tensor, Tensor]:
        """Return the inputs of the training and test rows, with what the training rows contain.

        A missing number or date is replaced by the median of the training rows. If a training row
        has no value in a column, one more input says where values are missing. A column of texts
        gets an input for each text in the training rows, at most 100: beyond, the most frequent
        texts have one each, and all others share one. A text that is in no training row has 0 in
        all of them, or counts as one of the others.

        Returns:
            Inputs in float64, `(len(train), features)` and `(len(test), features)`.
        """
        values = self.table.values()
        encoder = _encoder(self.table.columns)
        x_train = encoder.fit_transform(values[self.train])
        x_test = encoder.transform(values[self.test])
        return torch.from_numpy(x_train), torch.from_numpy(x_test)


def _encoder(columns: tuple[Column, ...]) -> ColumnTransformer:
    """Return what encodes values of columns `(N, P)`, in the order of the columns."""
    steps: list[tuple[str, Any, list[int]]] = []
    end = 0
    for column in columns:
        start, end = end, end + column.values.shape[1]
        if column.kind == "left out":
            continue
        places, name = list(range(start, end)), f"columns from {start}"
        if column.kind == "texts":
            one_hot = OneHotEncoder(
                max_categories=MOST_LEVELS,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            )
            steps.append((name, one_hot, places))
        elif not column.missing:
            steps.append((name, "passthrough", places))
        else:
            median = SimpleImputer(strategy="median", keep_empty_features=True)
            flag = MissingIndicator(features="missing-only", error_on_new=False)
            steps += [(name, median, places), (f"{name} missing", flag, places[:1])]
    return ColumnTransformer(steps, sparse_threshold=0)
