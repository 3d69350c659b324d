"""A data set in memory: split, scaled and hashed."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hinged.lab.data.splits import Splits
from hinged.lab.problems import Problem
from hinged.lab.problems.problem import standardised

_CHANNELS = (1, -1, 1, 1)


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set, ready to train on.

    Attributes:
        name: how results call it.
        about: what it is and how it is split, in a sentence.
        x_train, x_test: tables scaled by the training split, `(N, features)` float32; or images,
            `(N, C, H, W)`, as pixels of 0 to 255 in uint8, which `scaled` makes inputs of.
        y_train, y_test: targets as the problem's `loss` and `score` take them.
        problem: what is asked of a network.
        mean, std: of each channel of the training images, `(C,)`, in the pixels' unit; None where
            the inputs are scaled already.
        digest: SHA-256 over shapes and bytes of the four tensors.
    """

    name: str
    about: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    problem: Problem
    mean: Tensor | None = None
    std: Tensor | None = None

    @property
    def classes(self) -> int | None:
        """Return the number of classes where every sample has one, or None."""
        return self.problem.classes

    @property
    def outputs(self) -> int:
        """Return how many numbers a network must give for one sample, or each cell of it."""
        return self.problem.outputs

    @property
    def metric(self) -> str:
        """Return what is measured on the test split; larger is better."""
        return self.problem.metric

    @functools.cached_property
    def digest(self) -> str:
        """Return the hash that records name the data by."""
        state = hashlib.sha256()
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            state.update(str(tuple(tensor.shape)).encode())
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()

    def scaled(self, x: Tensor) -> Tensor:
        """Return what a network is given for rows of `x_train` or `x_test`, on their device.

        Args:
            x: `(N, features)` or `(N, C, H, W)`.

        Returns:
            The same shape in float32; each channel of the training images has mean 0 and standard
            deviation 1.
        """
        if self.mean is None or self.std is None:
            return x
        mean, std = (each.to(x.device).view(_CHANNELS) for each in (self.mean, self.std))
        return x.to(torch.float32).sub_(mean).div_(std)

    def scaling_on(self, device: torch.device) -> DataSet:
        """Return the data set with mean and deviation on a device, where `scaled` copies them
        otherwise, batch by batch."""
        if self.mean is None or self.std is None:
            return self
        return replace(self, mean=self.mean.to(device), std=self.std.to(device))

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the metric of a network's outputs; NaN where the network diverged."""
        return self.problem.score(outputs, targets) if outputs.isfinite().all() else math.nan


def scale(name: str, splits: Splits) -> DataSet:
    """Return the data set that these splits make, scaled by the training split alone.

    Images stay as they are, with the mean and deviation that `DataSet.scaled` uses. Columns of
    tables get mean 0 and standard deviation 1; targets are the problem's to scale.
    """
    x_train, x_test = splits.x_train, splits.x_test
    mean = std = None
    if x_train.dtype == torch.uint8 and x_train.ndim == 4:
        mean, std = _pixel_statistics(x_train)
    else:
        x_train, x_test = standardised(x_train, x_test)
    y_train, y_test = splits.problem.scaled(splits.y_train, splits.y_test)
    return DataSet(name, splits.about, x_train, y_train, x_test, y_test, splits.problem, mean, std)


def _pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, `(C,)`, exactly: from how often each of
    the 256 values occurs."""
    channels = [images[:, channel].flatten() for channel in range(images.shape[1])]
    counts = torch.stack([torch.bincount(c, minlength=256) for c in channels]).double()
    pixels, values = counts.sum(dim=1, keepdim=True), torch.arange(256.0, dtype=torch.float64)
    mean = (counts * values).sum(dim=1, keepdim=True) / pixels
    squares = (counts * (values - mean).square()).sum(dim=1, keepdim=True)
    std = (squares / (pixels - 1)).sqrt()
    return mean.squeeze(1).float(), torch.where(std > 0, std, 1.0).squeeze(1).float()
