"""Samples of the training split that are held out for validation."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.data.data_set import DataSet
from hinged.lab.data.train_test_split import subset_rows

_FEWEST = 2
"""Smallest number of samples on either side. R2 of a single sample is not defined."""
_SEED_OFFSET = 2**41
"""Added to the seed, so that the order of the batches is drawn from other random numbers."""


class Samples(NamedTuple):
    """Samples of a split.

    Attributes:
        x: rows of `DataSet.x_train`, `(N, ...)`.
        y: the targets of the same samples, `(N, ...)`.
    """

    x: Tensor
    y: Tensor


def hold_out(data: DataSet, share: float, seed: int) -> tuple[DataSet, Samples]:
    """Divide the training split into samples to train on and samples for validation.

    The validation samples contain the classes in the same proportions as the training split. If
    the rows of a table belong together, they are whole groups or the latest rows instead. The test
    split and the scaling stay the same: the scaling is that of the whole training split.

    Args:
        data: the data set.
        share: fraction of the training samples that are held out for validation.
        seed: decides which samples are held out.

    Returns:
        The data set without the validation samples, and the validation samples.

    Raises:
        ArgumentError: if fewer than 2 samples would be held out, or fewer than 2 would be left.

    >>> from hinged.lab.data import load_data_set
    >>> data, held_out = hold_out(load_data_set("iris"), 0.2, seed=0)
    >>> len(data.x_train), len(held_out.x)
    (84, 21)
    """
    size = held_out_size(data, share)
    source, is_held_out = data.source, torch.zeros(len(data.x_train), dtype=torch.bool)
    if source is not None and source.table.division is not None:
        is_held_out = torch.from_numpy(source.table.division.held_out(source.train, share, seed))
        _check_size(data, share, int(is_held_out.sum()))
    else:
        is_held_out[subset_rows(data.y_train, size, data.classes, _SEED_OFFSET + seed)] = True
    x, y = data.x_train, data.y_train
    training = replace(data, x_train=x[~is_held_out], y_train=y[~is_held_out])
    if source is not None:
        training = replace(training, source=source.without_training_rows(is_held_out.numpy()))
    return training, Samples(x[is_held_out], y[is_held_out])


def held_out_size(data: DataSet, share: float) -> int:
    """Return the number of training samples that `hold_out` holds out.

    Raises:
        ArgumentError: if fewer than 2 samples would be held out, or fewer than 2 would be left.
    """
    size = round(share * len(data.x_train))
    _check_size(data, share, size)
    return size


def _check_size(data: DataSet, share: float, size: int) -> None:
    count = len(data.x_train)
    if not _FEWEST <= size <= count - _FEWEST:
        got = f"{share:g}, which is {size} of {count} training samples"
        hint = f"hold out at least {_FEWEST} samples, and leave at least {_FEWEST} to train on"
        raise errors.ArgumentError(errors.message("training.validation", got, hint))
