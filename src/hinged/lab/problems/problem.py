"""The base class of tasks, with the tasks classification and regression."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from hinged import errors
from hinged.lab.problems.predictions import Predictions, count_classes, keep_numbers

Fault = tuple[str, str]
"""Two parts of an error message: the description of a fault, and a hint how to correct it."""


class Chance(NamedTuple):
    """The score that a network reaches without any knowledge of its inputs.

    Attributes:
        score: the score.
        margin: a network whose score is less than this above `score` may have learned nothing.
        about: the meaning of the score, for example `the share of the most frequent class`.
    """

    score: float
    margin: float
    about: str


class TargetScale(NamedTuple):
    """The mean and the standard deviation that targets were scaled with.

    Attributes:
        mean: mean of each target in the training split, shape `(1, T)`, float64.
        std: standard deviation of each target, shape `(1, T)`, float64.
    """

    mean: Tensor
    std: Tensor

    def to_units(self, values: Tensor) -> Tensor:
        """Return scaled values `(N, T)` in the units of the data, in float64."""
        return values.double() * self.std + self.mean

    def within(self, outer: TargetScale) -> TargetScale:
        """Return the scale of targets that were scaled twice, with `outer` first."""
        return TargetScale(outer.to_units(self.mean), outer.std * self.std)


class Problem(ABC):
    """Base class of the tasks of data sets. A task defines the loss and the score.

    Attributes:
        metric: name of the score. A larger score is better.
        predicts_per_cell: True if network outputs have shape `(N, outputs, rows, columns)`, for the
            cells of a grid over the image. False if network outputs have shape `(N, outputs)`.
    """

    metric: ClassVar[str]
    predicts_per_cell: ClassVar[bool] = False

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Return the number of network outputs for each sample.

        For object detection, this is the number of outputs for each cell of the output grid.
        """

    @property
    def classes(self) -> int | None:
        """Return the number of classes, or None if the task is not a classification."""
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the loss of a batch as a scalar tensor.

        Args:
            outputs: network outputs, `(N, ...)`.
            targets: targets of the same samples, `(N, ...)`.
            label_smoothing: fraction of the probability of each target that is spread over all
                classes. Only classification uses this argument.
        """

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score of network outputs. A larger score is better.

        Args:
            outputs: network outputs `(N, ...)` without NaN and infinity.
            targets: targets of the same samples, `(N, ...)`.
        """

    @abstractmethod
    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a description of a fault in the targets of a split, or None without a fault."""

    def constant_fault(self, train: Tensor, test: Tensor) -> Fault | None:
        """Return a description of targets that are all equal, so that there is nothing to learn.

        Args:
            train: targets of the training split, `(N, ...)`, without a `target_fault`.
            test: targets of the test split, in the same form.

        Returns:
            The fault; None if the targets differ.
        """
        return None

    @abstractmethod
    def chance(self, targets: Tensor) -> Chance:
        """Return the best score of constant outputs, which do not depend on the inputs.

        Args:
            targets: targets of the test split, `(N, ...)`.
        """

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Convert the targets of both splits into the form that `loss` and `score` accept.

        Args:
            train: targets of the training split, `(N, ...)`.
            test: targets of the test split, `(N, ...)`.

        Returns:
            The converted training targets and test targets. By default, they are not changed.
        """
        return train, test

    def target_scale(self, train: Tensor) -> TargetScale | None:
        """Return the scale with which `prepare_targets` scales targets, or None if it does not.

        Args:
            train: targets of the training split before `prepare_targets`.
        """
        return None

    def other_scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return further scores of network outputs by name, for reports only.

        Args:
            outputs: network outputs `(N, ...)` without NaN and infinity. Numbers are in the units
                of the data.
            targets: targets of the same samples, in the same units.
        """
        return {}

    def keep_predictions(self, outputs: Tensor, targets: Tensor) -> Predictions | None:
        """Return what is kept of network outputs for reports; None if the task keeps nothing.

        Args:
            outputs: network outputs `(N, ...)` without NaN and infinity. Numbers are in the units
                of the data.
            targets: targets of the same samples, in the same units.
        """
        return None

    def mirror_targets(self, targets: Tensor) -> Tensor:
        """Return the targets of images that are mirrored left to right.

        Targets without positions in the image do not change.
        """
        return targets


@dataclass(frozen=True)
class Classification(Problem):
    """Prediction of one class for each sample. The targets are class indices `(N,)`.

    Attributes:
        number: number of classes.
        names: names of the classes; empty if they have only numbers, from 0.

    Raises:
        ArgumentError: if there are names, but not one for each class.

    >>> one_of_three = Classification(3)
    >>> one_of_three.score(torch.eye(3), torch.tensor([0, 1, 1]))
    0.6666666666666666
    """

    number: int
    names: tuple[str, ...] = ()
    metric: ClassVar[str] = "accuracy"

    def __post_init__(self) -> None:
        _check_names("Classification", self.names, self.number)

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return self.number

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return self.number

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean cross entropy of logits `(N, classes)` and class indices `(N,)`."""
        return F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the accuracy (fraction of samples with the right class), 0 to 1."""
        return (outputs.argmax(dim=1) == targets).double().mean().item()

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a description of a fault in the class indices, or None without a fault."""
        if targets.ndim != 1:
            return (
                f"labels of shape {tuple(targets.shape)}",
                "give one class index per sample",
            )
        if targets.min() < 0 or targets.max() >= self.number:
            got = f"labels from {int(targets.min())} to {int(targets.max())}"
            return got, f"class indices of {self.number} classes are 0 to {self.number - 1}"
        return None

    def constant_fault(self, train: Tensor, test: Tensor) -> Fault | None:
        """Return a fault if all training samples have the same class, otherwise None."""
        if (train == train[0]).all():
            return "a train split with one class only", "give samples of at least 2 classes"
        return None

    def chance(self, targets: Tensor) -> Chance:
        """Return the share of the most frequent class, with a margin of two standard errors.

        >>> Classification(2).chance(torch.tensor([0, 1, 1, 1])).score
        0.75
        """
        share = targets.long().bincount().max().item() / len(targets)
        margin = 2 * math.sqrt(share * (1 - share) / len(targets))
        return Chance(share, margin, "the share of the most frequent class")

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Convert the class indices of both splits to int64."""
        return train.long(), test.long()

    def other_scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the balanced accuracy and the macro F1, both 0 to 1.

        The balanced accuracy is the mean over the classes of the fraction of their samples with
        the right class. Macro F1 is the mean of the F1 of the classes. Classes without a test
        sample are left out of both.
        """
        present = targets.unique().tolist()
        _, recall, f1, _ = precision_recall_fscore_support(
            targets.numpy(), outputs.argmax(dim=1).numpy(), labels=present, zero_division=0
        )
        return {"balanced accuracy": float(recall.mean()), "macro F1": float(f1.mean())}

    def keep_predictions(self, outputs: Tensor, targets: Tensor) -> Predictions:
        """Return the confusion matrix."""
        names = self.names or tuple(map(str, range(self.number)))
        return count_classes(outputs.argmax(dim=1), targets, names)


@dataclass(frozen=True)
class Regression(Problem):
    """Prediction of real numbers for each sample. The targets have shape `(N, number)`.

    Attributes:
        number: number of targets per sample.
        names: names of the targets; empty if they have none.

    Raises:
        ArgumentError: if there are names, but not one for each target.

    >>> one_number = Regression(1)
    >>> one_number.score(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]]))
    0.5
    """

    number: int
    names: tuple[str, ...] = ()
    metric: ClassVar[str] = "R2"

    def __post_init__(self) -> None:
        _check_names("Regression", self.names, self.number)

    @property
    def outputs(self) -> int:
        """Return the number of targets per sample."""
        return self.number

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean squared error of outputs and targets, both `(N, number)`."""
        return F.mse_loss(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return R2, the fraction of the variance of the targets that the outputs explain.

        The squared errors and the variances are summed over all targets. R2 is at most 1.
        """
        residual = (outputs - targets).double().square().sum()
        return (1 - residual / (targets - targets.mean(dim=0)).double().square().sum()).item()

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a description of a fault in the shape of the targets, or None without a fault."""
        if targets.ndim == 2 and targets.shape[1] == self.number:
            return None
        return f"targets of shape {tuple(targets.shape)}", f"give (samples, {self.number})"

    def constant_fault(self, train: Tensor, test: Tensor) -> Fault | None:
        """Return a fault if a training target or all test targets are constant, otherwise None."""
        constant = (train == train[0]).all(dim=0).nonzero().flatten().tolist()
        if constant:
            shown = ", ".join(f"{index} (always {train[0, index]:g})" for index in constant[:5])
            return (
                f"a train split in which target {shown} is constant (counted from 0)",
                "there is nothing to learn, so choose another target or remove it",
            )
        if (test == test[0]).all():
            return "a test split with equal targets", "R2 needs test targets that differ"
        return None

    def chance(self, targets: Tensor) -> Chance:
        """Return R2 of the mean of the targets, which is 0."""
        return Chance(0.0, 0.01, "the score of a network that always predicts the mean")

    def prepare_targets(self, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
        """Scale each target to mean 0 and standard deviation 1 in the training split.

        Returns:
            Training and test targets in float32.
        """
        return standardise(train, test)

    def target_scale(self, train: Tensor) -> TargetScale:
        """Return the mean and the standard deviation of each target in the training split."""
        return TargetScale(*_mean_and_std(train))

    def other_scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the root of the mean squared error (RMSE) of each target, in its unit."""
        rmse = (outputs - targets).double().square().mean(dim=0).sqrt().tolist()
        if self.number == 1:
            return {"RMSE": rmse[0]}
        return {f"RMSE of {name}": each for name, each in zip(self._labels, rmse, strict=True)}

    def keep_predictions(self, outputs: Tensor, targets: Tensor) -> Predictions:
        """Return the true and predicted numbers of some samples."""
        return keep_numbers(outputs, targets, self._labels)

    @property
    def _labels(self) -> tuple[str, ...]:
        if self.names:
            return self.names
        return (
            tuple(f"target {i + 1}" for i in range(self.number)) if self.number > 1 else ("target",)
        )


def standardise(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale both splits with the mean and standard deviation of `train`.

    Each column of `train` (each index of axis 1) then has mean 0 and standard deviation 1. In
    images, the columns are the channels. A constant column is only shifted.

    Args:
        train: training split: a table `(N, features)`, targets `(N, targets)`, or images
            `(N, C, H, W)`.
        test: test split, in the same form.

    Returns:
        Both splits in float32.
    """
    mean, std = _mean_and_std(train)
    return ((train - mean) / std).float(), ((test - mean) / std).float()


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each column, with 1 in place of 0."""
    others = tuple(axis for axis in range(values.ndim) if axis != 1)
    mean = values.double().mean(dim=others, keepdim=True)
    std = values.double().std(dim=others, keepdim=True)
    return mean, torch.where(std > 0, std, 1.0)


def _check_names(task: str, names: tuple[str, ...], number: int) -> None:
    if names and len(names) != number:
        got = f"{len(names)} names for {number} network outputs"
        raise errors.ArgumentError(errors.message(f"{task}(names=...)", got, "give one for each"))
