"""Problems, and the two with one answer a sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

Fault = tuple[str, str]
"""What is wrong, and what to do about it."""


class Problem(ABC):
    """What a data set asks of a network.

    Attributes:
        metric: what `score` gives; larger is better.
        on_grid: whether the network answers for every cell of a grid, `(N, outputs, rows,
            columns)`, instead of once for each sample, `(N, outputs)`.
    """

    metric: ClassVar[str]
    on_grid: ClassVar[bool] = False

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Return how many numbers a network must give for one sample, or one cell."""

    @property
    def classes(self) -> int | None:
        """Return the number of classes where every sample has one, or None."""
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return what training makes small, a scalar.

        Args:
            outputs: of a network.
            targets: of the same samples.
            label_smoothing: share of the target spread over all classes; for classifications.
        """

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the metric of finite outputs."""

    @abstractmethod
    def fault(self, targets: Tensor) -> Fault | None:
        """Return what is wrong with the targets of a split, if anything."""

    def scaled(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets of both splits as `loss` and `score` take them."""
        return train, test

    def mirrored(self, targets: Tensor) -> Tensor:
        """Return the targets of images that are mirrored left to right."""
        return targets


@dataclass(frozen=True)
class Classification(Problem):
    """One of a number of classes for each sample; targets `(N,)` are their indices.

    >>> one_of_three = Classification(3)
    >>> one_of_three.score(torch.eye(3), torch.tensor([0, 1, 1]))
    0.6666666666666666
    """

    number: int
    metric: ClassVar[str] = "accuracy"

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return self.number

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return self.number

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross entropy."""
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy, 0 to 1."""
        return (outputs.argmax(dim=1) == targets).double().mean().item()

    def fault(self, targets: Tensor) -> Fault | None:
        """Return what is wrong with class indices."""
        if targets.ndim != 1:
            return f"labels of shape {tuple(targets.shape)}", "give one class index a sample, (N,)"
        if targets.min() < 0 or targets.max() >= self.number:
            got = f"labels from {int(targets.min())} to {int(targets.max())}"
            return got, f"labels of {self.number} classes go from 0 to {self.number - 1}"
        return None

    def scaled(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices in int64."""
        return train.long(), test.long()


@dataclass(frozen=True)
class Regression(Problem):
    """A number of targets for each sample, `(N, number)`.

    >>> one_number = Regression(1)
    >>> one_number.score(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]]))
    0.5
    """

    number: int
    metric: ClassVar[str] = "R2"

    @property
    def outputs(self) -> int:
        """Return the number of targets."""
        return self.number

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean square error."""
        return F.mse_loss(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the share of variance explained, all targets together; at most 1."""
        residual = (outputs - targets).double().square().sum()
        return (1 - residual / (targets - targets.mean(dim=0)).double().square().sum()).item()

    def fault(self, targets: Tensor) -> Fault | None:
        """Return what is wrong with the shape of targets."""
        if targets.ndim == 2 and targets.shape[1] == self.number:
            return None
        return f"targets of shape {tuple(targets.shape)}", f"give (N, {self.number})"

    def scaled(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 targets that have mean 0 and standard deviation 1 in the training
        split."""
        return standardised(train, test)


def standardised(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with the columns (of images: the channels) of `train` at mean 0, deviation 1."""
    others = tuple(axis for axis in range(train.ndim) if axis != 1)
    mean = train.double().mean(dim=others, keepdim=True)
    std = train.double().std(dim=others, keepdim=True)
    std = torch.where(std > 0, std, 1.0)
    return ((train - mean) / std).float(), ((test - mean) / std).float()
