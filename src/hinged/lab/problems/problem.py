"""The base class of problems, classification and regression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

Fault = tuple[str, str]
"""What is wrong, and how to correct it."""


class Problem(ABC):
    """The task of a data set.

    Attributes:
        metric: name of the score; a larger score is better.
        predicts_per_cell: whether a network has outputs for every cell of a grid, `(N, outputs,
            rows, columns)`, or for the whole sample, `(N, outputs)`.
    """

    metric: ClassVar[str]
    predicts_per_cell: ClassVar[bool] = False

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Return the number of outputs that a network needs for one sample, or for one cell."""

    @property
    def classes(self) -> int | None:
        """Return the number of classes, or None if the samples have no single class."""
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the loss to minimise, a scalar.

        Args:
            outputs: outputs of a network.
            targets: targets of the same samples.
            label_smoothing: share of each target that is spread over all classes; only
                classifications use it.
        """

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score of finite outputs."""

    @abstractmethod
    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a fault of the targets of a split, or None."""

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets of both splits in the form that `loss` and `score` take."""
        return train, test

    def mirror_targets(self, targets: Tensor) -> Tensor:
        """Return the targets for the same images mirrored left to right."""
        return targets


@dataclass(frozen=True)
class Classification(Problem):
    """One class for each sample; targets `(N,)` are class indices.

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

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a fault of the class indices, or None."""
        if targets.ndim != 1:
            return (
                f"labels of shape {tuple(targets.shape)}",
                "give one class index per sample, (N,)",
            )
        if targets.min() < 0 or targets.max() >= self.number:
            got = f"labels from {int(targets.min())} to {int(targets.max())}"
            return got, f"labels of {self.number} classes go from 0 to {self.number - 1}"
        return None

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices in int64."""
        return train.long(), test.long()


@dataclass(frozen=True)
class Regression(Problem):
    """`number` real targets for each sample, `(N, number)`.

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
        """Return the share of the variance that is explained, R2 of all targets together; at most
        1."""
        residual = (outputs - targets).double().square().sum()
        return (1 - residual / (targets - targets.mean(dim=0)).double().square().sum()).item()

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a fault of the targets' shape, or None."""
        if targets.ndim == 2 and targets.shape[1] == self.number:
            return None
        return f"targets of shape {tuple(targets.shape)}", f"give (N, {self.number})"

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 targets with mean 0 and standard deviation 1 in the training split."""
        return standardise(train, test)


def standardise(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Return both splits in float32, shifted and scaled so that each column (of images: each
    channel) of `train` has mean 0 and standard deviation 1."""
    others = tuple(axis for axis in range(train.ndim) if axis != 1)
    mean = train.double().mean(dim=others, keepdim=True)
    std = train.double().std(dim=others, keepdim=True)
    std = torch.where(std > 0, std, 1.0)
    return ((train - mean) / std).float(), ((test - mean) / std).float()
