"""Cross-validation: each fold of a data set is the test split once."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from hinged import errors
from hinged.lab.data.data_set import DataSet, scale_split
from hinged.lab.data.train_test_split import TrainTestSplit


def cross_validation_fold(whole: DataSet, number: int, folds: int) -> DataSet:
    """Return a data set that tests on one fold and trains on the others.

    Both splits of `whole` are joined and shuffled, in the same way at every call. Each fold has
    the classes in the same shares. Inputs and targets are scaled by the new training split.

    Args:
        whole: the data set.
        number: number of the fold, 0 to `folds - 1`.
        folds: number of folds.

    Returns:
        The fold, without the changes of `DataSet.with_input_format`.

    Raises:
        ArgumentError: there are fewer samples, or fewer samples of a class, than folds.

    >>> from hinged.lab import data
    >>> cross_validation_fold(data.load_data_set("diabetes"), 0, 10).about
    '442 rows of 10 columns, regression; fold 1 of 10 to test on'
    """
    x = torch.cat((whole.x_train, whole.x_test))
    y = torch.cat((whole.y_train, whole.y_test))
    fewest = len(x) if whole.classes is None else int(y.bincount(minlength=whole.classes).min())
    if fewest < folds:
        got = f"{folds} for {whole.name}"
        hint = f"use at most {fewest}, so that each fold has a sample" + (
            "" if whole.classes is None else " of each class"
        )
        raise errors.ArgumentError(errors.message("folds", got, hint))
    kind = KFold if whole.classes is None else StratifiedKFold
    rows = kind(folds, shuffle=True, random_state=0).split(np.zeros(len(x)), y.numpy())
    train, test = list(rows)[number]
    about = f"{whole.about.rpartition('; ')[0]}; fold {number + 1} of {folds} to test on"
    split = TrainTestSplit(about, x[train], y[train], x[test], y[test], whole.problem)
    return scale_split(whole.name, split)
