"""Cross-validation: division of a data set into folds, one of which is the test split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold
from torch import Tensor

from hinged import errors
from hinged.lab.data.data_set import DataSet, scale_split
from hinged.lab.data.row_division import TrainTestRows
from hinged.lab.data.tables.table_rows import TableRows
from hinged.lab.data.train_test_split import TrainTestSplit, check_split, encode_table


def cross_validation_fold(whole: DataSet, number: int, folds: int) -> DataSet:
    """Return a data set with one fold as test split and all other folds as training split.

    The training and test samples of `whole` are joined, shuffled and divided into folds. The
    division is the same at every call. All folds contain the classes in the same proportions.
    Inputs and targets are scaled with the mean and standard deviation of the new training split.

    Args:
        whole: data set that contains all samples.
        number: index of the test fold, 0 to `folds - 1`.
        folds: number of folds.

    Returns:
        A new data set. Images have the original size, channels and scaling, even if `whole` is a
        result of `DataSet.with_input_format`.

    Raises:
        ArgumentError: if `folds` is larger than the number of samples, larger than the number of
            samples of the rarest class, or too large for the groups or times of a table.
        DataError: if a fold of a table has nothing to learn, such as one class only.

    >>> from hinged.lab import data
    >>> cross_validation_fold(data.load_data_set("diabetes"), 0, 10).about
    '442 rows of 10 columns, regression; fold 1 of 10 to test on'
    """
    if whole.source is not None:
        return _table_fold(whole, whole.source, number, folds)
    x = torch.cat((whole.x_train, whole.x_test))
    y = torch.cat((whole.y_train, whole.y_test))
    rows = _random_folds(whole, y, folds)[number]
    train, test = map(torch.from_numpy, rows)
    split = TrainTestSplit(
        _about_fold(whole, number, folds), x[train], y[train], x[test], y[test], whole.problem
    )
    fold = replace(scale_split(whole.name, split), notes=whole.notes)
    if fold.target_scale is None or whole.target_scale is None:
        return fold
    # The targets of `whole` are scaled already.
    return replace(fold, target_scale=fold.target_scale.within(whole.target_scale))


def _table_fold(whole: DataSet, source: TableRows, number: int, folds: int) -> DataSet:
    """Return a fold of a table, encoded with what the training rows of the fold contain."""
    rows, division = np.concatenate((source.train, source.test)), source.table.division
    y, labels = source.table.y[rows], source.table.labels
    if division is None:
        fold = TrainTestRows(*(rows[part] for part in _random_folds(whole, y, folds)[number]))
    else:
        fold = division.folds(rows, None if labels is None else labels[rows], folds)[number]
    split = encode_table(source.with_rows(fold))
    about = _about_fold(whole, number, folds)
    return scale_split(whole.name, replace(check_split(f"fold {number + 1}", split), about=about))


def _random_folds(whole: DataSet, y: Tensor, folds: int) -> list[TrainTestRows]:
    """Divide samples at random into folds that contain the classes in the same proportions.

    Args:
        whole: data set that contains all samples.
        y: targets of all samples, `(N, ...)`.
        folds: number of folds.

    Returns:
        The positions in `y` of the training and test samples of each fold.
    """
    fewest = len(y) if whole.classes is None else int(y.bincount(minlength=whole.classes).min())
    if fewest < folds:
        got = f"{folds} folds for the data set {whole.name}"
        hint = f"use at most {fewest} folds, so that each fold contains a sample" + (
            "" if whole.classes is None else " of each class"
        )
        raise errors.ArgumentError(errors.message("folds", got, hint))
    kind = KFold if whole.classes is None else StratifiedKFold
    rows = kind(folds, shuffle=True, random_state=0).split(np.zeros(len(y)), y.numpy())
    return [TrainTestRows(train, test) for train, test in rows]


def _about_fold(whole: DataSet, number: int, folds: int) -> str:
    return f"{whole.about.rpartition('; ')[0]}; fold {number + 1} of {folds} to test on"
