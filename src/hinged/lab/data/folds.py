"""Cross-validation: each of the folds of a data set is the test split once."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold

from hinged import errors
from hinged.lab.data.dataset import DataSet, scale
from hinged.lab.data.splits import Splits


def fold(whole: DataSet, number: int, folds: int) -> DataSet:
    """Return a data set with one fold to test on and the others to train on.

    Both splits are put together and shuffled once and for all; classes keep their shares. Inputs
    and targets are scaled by the new training split.

    Args:
        whole: the data set, with whatever splits.
        number: which fold, 0 to `folds - 1`.
        folds: how many there are.

    Returns:
        The fold, with images as they are before `DataSet.fitted`.

    Raises:
        ArgumentError: fewer samples, or samples of a class, than folds.

    >>> from hinged.lab import data
    >>> fold(data.load("diabetes"), 0, 10).about
    '442 rows of 10 columns, regression; fold 1 of 10 to test on'
    """
    x = torch.cat((whole.x_train, whole.x_test))
    y = torch.cat((whole.y_train, whole.y_test))
    fewest = len(x) if whole.classes is None else int(y.bincount(minlength=whole.classes).min())
    if fewest < folds:
        got = f"{folds} for {whole.name}"
        hint = f"at most {fewest}, so that each fold has a sample" + (
            "" if whole.classes is None else " of each class"
        )
        raise errors.ArgumentError(errors.message("folds", got, hint))
    kind = KFold if whole.classes is None else StratifiedKFold
    divided = kind(folds, shuffle=True, random_state=0).split(np.zeros(len(x)), y.numpy())
    train, test = list(divided)[number]
    about = f"{whole.about.rpartition('; ')[0]}; fold {number + 1} of {folds} to test on"
    parts = Splits(about, x[train], y[train], x[test], y[test], whole.problem)
    return scale(whole.name, parts)
