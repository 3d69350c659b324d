"""Data that a function of the user's makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from hinged import errors
from hinged.lab.data.dataset import DataSet
from hinged.lab.data.splits import Splits
from hinged.lab.experiment import user_code
from hinged.lab.problems import Classification, Regression

_WANTED = (
    "return (train, test), each a DataLoader, a Dataset or a pair of tensors x, y, "
    "or a hinged.lab.data.DataSet"
)


def read(text: str) -> Splits | DataSet:
    """Return what the function `file.py:function` makes.

    Loaders and data sets are read once, whole, into memory: order and augmentation are then the
    experiment's, the same for every activation. Labels that are whole numbers are classes.

    Raises:
        ArgumentError: there is no such function.
        DataError: it returns something else.
    """
    made = user_code.load("--data", text)()
    if isinstance(made, DataSet):
        return made
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise _wrong(text, _kind(made))
    (x_train, y_train), (x_test, y_test) = (_whole(text, split) for split in made)
    if y_train.ndim == 1 and y_train.is_floating_point():
        y_train, y_test = y_train.unsqueeze(1), y_test.unsqueeze(1)
    numbers = y_train.is_floating_point()
    problem = Regression(y_train.shape[1]) if numbers else Classification(int(y_train.max()) + 1)
    about = f"made by {text}: {len(x_train):,} samples to train on, {len(x_test):,} to test on"
    return Splits(about, x_train, y_train, x_test, y_test, problem)


def _whole(text: str, split: Any) -> tuple[Tensor, Tensor]:
    """Return a split as inputs and targets."""
    if isinstance(split, Dataset):
        split = DataLoader(split, batch_size=256, collate_fn=default_collate)
    if isinstance(split, tuple | list) and len(split) == 2 and _are_arrays(split):
        return _tensor(split[0]), _tensor(split[1])
    if not isinstance(split, Iterable):
        raise _wrong(text, _kind(split))
    batches = list(split)
    for batch in batches:
        if not (isinstance(batch, tuple | list) and len(batch) == 2 and _are_arrays(batch)):
            raise _wrong(text, f"a split with batches of {_kind(batch)}")
    if not batches:
        raise _wrong(text, "a split without batches")
    inputs, targets = zip(*batches, strict=True)
    return torch.cat([_tensor(x) for x in inputs]), torch.cat([_tensor(y) for y in targets])


def _are_arrays(pair: Iterable[Any]) -> bool:
    return all(isinstance(each, Tensor | np.ndarray) for each in pair)


def _tensor(values: Any) -> Tensor:
    return torch.as_tensor(values).detach().cpu()


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an object of class {type(value).__name__}"


def _wrong(text: str, got: str) -> errors.DataError:
    return errors.DataError(errors.message(f"--data {text}", got, _WANTED))
