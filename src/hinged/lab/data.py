"""Data sets in memory, split, scaled and hashed. Those here come with scikit-learn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hinged import errors

Arrays = tuple[NDArray[np.float64], NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set, ready to train on.

    Attributes:
        name: how results call it.
        about: what it is and how it is split, in a sentence.
        x_train, x_test: inputs scaled by the training split, `(N, features)` or `(N, C, H, W)`.
        y_train, y_test: class indices `(N,)`, or scaled targets `(N, 1)` for regression.
        classes: number of classes, or None for regression.
        digest: SHA-256 over shapes and bytes of the four tensors.
    """

    name: str
    about: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int | None

    @property
    def outputs(self) -> int:
        """Return how many numbers a network must give for one sample."""
        return self.y_train.shape[1] if self.classes is None else self.classes

    @property
    def metric(self) -> str:
        """Return what is measured on the test split; larger is better for both."""
        return "R2" if self.classes is None else "accuracy"

    @property
    def digest(self) -> str:
        """Return the hash that records name the data by."""
        state = hashlib.sha256()
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            state.update(str(tuple(tensor.shape)).encode())
            state.update(tensor.numpy().tobytes())
        return state.hexdigest()

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy, or the share of variance explained, of a network's outputs; NaN
        where the network diverged."""
        if not outputs.isfinite().all():
            return math.nan
        if self.classes is not None:
            return (outputs.argmax(dim=1) == targets).double().mean().item()
        residual = (outputs - targets).double().square().sum()
        return (1 - residual / (targets - targets.mean(dim=0)).double().square().sum()).item()


def load(name: str) -> DataSet:
    """Return a data set by name.

    Raises:
        UnknownNameError: the name is not in `DATA_SETS`.
    """
    if name not in DATA_SETS:
        raise errors.unknown_name("hinged.lab.data.load", name, DATA_SETS)
    return DATA_SETS[name]()


def _digits() -> DataSet:
    bunch = datasets.load_digits()
    half = len(bunch.images) // 2
    images = torch.from_numpy(bunch.images).float().unsqueeze(1)
    labels = torch.from_numpy(bunch.target).long()
    mean, std = images[:half].mean(), images[:half].std()
    images = (images - mean) / std
    return DataSet(
        "digits",
        "1,797 handwritten digits of 8 x 8 pixels; the first half to train on, the second half to "
        "test on, as in scikit-learn's own example",
        images[:half],
        labels[:half],
        images[half:],
        labels[half:],
        classes=10,
    )


def _table(name: str, loader: Callable[..., Arrays], classes: int | None) -> DataSet:
    inputs, targets = loader(return_X_y=True)
    split = train_test_split(
        inputs,
        targets,
        test_size=0.3,
        random_state=0,
        stratify=None if classes is None else targets,
    )
    x_train, x_test, y_train, y_test = (torch.from_numpy(np.asarray(part)) for part in split)
    x_train, x_test = _standardised(x_train, x_test)
    if classes is None:
        y_train, y_test = _standardised(y_train.unsqueeze(1), y_test.unsqueeze(1))
    else:
        y_train, y_test = y_train.long(), y_test.long()
    task = "regression" if classes is None else f"{classes} classes"
    about = f"{len(inputs):,} rows of {inputs.shape[1]} columns, {task}; 30 % to test on"
    return DataSet(name, about, x_train, y_train, x_test, y_test, classes)


def _standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = train.double().mean(dim=0), train.double().std(dim=0)
    std = torch.where(std > 0, std, 1.0)
    return ((train - mean) / std).float(), ((test - mean) / std).float()


DATA_SETS: dict[str, Callable[[], DataSet]] = {
    "breast_cancer": lambda: _table("breast_cancer", datasets.load_breast_cancer, 2),
    "diabetes": lambda: _table("diabetes", datasets.load_diabetes, None),
    "digits": _digits,
    "iris": lambda: _table("iris", datasets.load_iris, 3),
    "wine": lambda: _table("wine", datasets.load_wine, 3),
}


class _Rows(Dataset[tuple[Tensor, Tensor]]):
    """Batches of rows by one indexing call, instead of sample by sample."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.x[rows], self.y[rows]


class _Batches(Sampler[Tensor]):
    """Row indices batch by batch, in an order that seed and epoch alone decide, so that a
    continued training meets the order of an uninterrupted one."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch = rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._split(torch.arange(self.rows)))

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        return iter(self._split(torch.randperm(self.rows, generator=generator)))

    def _split(self, order: Tensor) -> list[Tensor]:
        batches = list(order.split(self.batch_size))
        # Batch normalisation cannot train on a single row.
        return batches[:-1] if len(batches[-1]) == 1 else batches


def train_loader(data: DataSet, batch_size: int, seed: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return the training split in shuffled batches; the order depends on seed and epoch alone."""
    batches = _Batches(len(data.x_train), batch_size, seed)
    return DataLoader(_Rows(data.x_train, data.y_train), batch_size=None, sampler=batches)
