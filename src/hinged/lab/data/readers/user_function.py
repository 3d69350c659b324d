"""Reader of the user's data: a function in a Python file returns the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from hinged import errors, user_code
from hinged.lab.data.data_set import DataSet
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Classification, Regression

_EXPECTED = (
    "the function must return (train, test), each a DataLoader, a Dataset or a pair of tensors "
    "(inputs, targets), or return a hinged.lab.data.DataSet"
)


def read_from_function(text: str) -> TrainTestSplit | DataSet:
    """Call the user's function and return the data that the function returns.

    Data loaders and datasets are read once into memory. The experiment then orders and augments the
    samples in the same way for every activation. Integer targets make a classification. Targets of
    floats make a regression.

    Args:
        text: name of the function, as `file.py:function`.

    Returns:
        The `DataSet` that the function returns, or a new `TrainTestSplit` if the function returns
        `(train, test)`.

    Raises:
        ArgumentError: if the function does not exist or needs arguments.
        DataError: if the function returns neither a `DataSet` nor a pair `(train, test)` of data
            loaders, datasets or pairs of tensors.
    """
    function = user_code.load_function("data", text)
    hint = "it is called without arguments, so give each argument a default"
    user_code.check_call(f"data {text}", function, hint)
    returned = function()
    if isinstance(returned, DataSet):
        return returned
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise _return_error(text, _describe_type(returned))
    (x_train, y_train), (x_test, y_test) = (_read_split(text, split) for split in returned)
    if y_train.ndim == 1 and y_train.is_floating_point():
        y_train, y_test = y_train.unsqueeze(1), y_test.unsqueeze(1)
    is_regression = y_train.is_floating_point()
    problem = (
        Regression(y_train.shape[1]) if is_regression else Classification(int(y_train.max()) + 1)
    )
    about = f"returned by {text}: {len(x_train):,} samples to train on, {len(x_test):,} to test on"
    return TrainTestSplit(about, x_train, y_train, x_test, y_test, problem)


def _read_split(text: str, split: Any) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of a split as two tensors."""
    if isinstance(split, Dataset):
        split = DataLoader(split, batch_size=256, collate_fn=default_collate)
    if isinstance(split, tuple | list) and len(split) == 2 and _are_arrays(split):
        return _tensor(split[0]), _tensor(split[1])
    if not isinstance(split, Iterable):
        raise _return_error(text, _describe_type(split))
    batches = list(split)
    for batch in batches:
        if not (isinstance(batch, tuple | list) and len(batch) == 2 and _are_arrays(batch)):
            raise _return_error(text, f"a split with a batch that is {_describe_type(batch)}")
    if not batches:
        raise _return_error(text, "a split without batches")
    inputs, targets = zip(*batches, strict=True)
    return torch.cat([_tensor(x) for x in inputs]), torch.cat([_tensor(y) for y in targets])


def _are_arrays(pair: Iterable[Any]) -> bool:
    return all(isinstance(each, Tensor | np.ndarray) for each in pair)


def _tensor(values: Any) -> Tensor:
    return torch.as_tensor(values).detach().cpu()


def _describe_type(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)} elements"
    return f"an object of class {type(value).__name__}"


def _return_error(text: str, got: str) -> errors.DataError:
    return errors.DataError(errors.message(f"data {text}", got, _EXPECTED))
