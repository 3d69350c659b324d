"""A data set in memory: training and test split, scaled and hashed."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Problem
from hinged.lab.problems.problem import standardise

_CHANNELS = (1, -1, 1, 1)


@dataclass(frozen=True, eq=False)
class DataSet:
    """One data set, ready to train on.

    Attributes:
        name: name in results.
        about: a sentence on the data and how they are split.
        x_train: a table scaled by the training split, `(N, features)` float32, or images
            `(N, C, H, W)` in uint8, which `to_inputs` scales.
        y_train: targets in the form that the problem's `loss` and `score` take.
        x_test: inputs of the test split, in the form of `x_train`.
        y_test: targets of the test split, in the form of `y_train`.
        problem: the task.
        mean: mean of each channel of the training images, `(C,)`, in units of a pixel's value; None
            if the inputs are scaled already.
        std: standard deviation of each channel, in the same form.
        side: side of the square that `to_inputs` resizes images to; None keeps their size.
        channels: number of channels that `to_inputs` repeats grey images to; None keeps them.
        digest: SHA-256 of the shapes and bytes of the four tensors.
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
    side: int | None = None
    channels: int | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of a network's input for one sample."""
        return tuple(self.to_inputs(self.x_train[:1]).shape[1:])

    @property
    def classes(self) -> int | None:
        """Return the number of classes, or None if the samples have no single class."""
        return self.problem.classes

    @property
    def outputs(self) -> int:
        """Return the number of outputs that a network needs for one sample, or for one cell."""
        return self.problem.outputs

    @property
    def metric(self) -> str:
        """Return the name of the score; a larger score is better."""
        return self.problem.metric

    @functools.cached_property
    def digest(self) -> str:
        """Return the hash that identifies the data in records."""
        state = hashlib.sha256()
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            state.update(str(tuple(tensor.shape)).encode())
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()

    def to_inputs(self, x: Tensor) -> Tensor:
        """Return the network's inputs for rows of `x_train` or `x_test`, on the same device.

        Args:
            x: `(N, features)` or `(N, C, H, W)`.

        Returns:
            Inputs in float32. Images are scaled by `mean` and `std`, resized to `side`, and
            repeated to `channels`; tables are returned as they are.
        """
        if self.channels is not None and x.shape[1] == 1:
            x = x.expand(-1, self.channels, -1, -1)
        if self.mean is not None and self.std is not None:
            mean, std = (each.to(x.device).view(_CHANNELS) for each in (self.mean, self.std))
            x = x.to(torch.float32).sub_(mean).div_(std)
        return x if self.side is None else _resized(x, self.side)

    def with_input_format(
        self, side: int | None, channels: int | None, scaling: tuple[Tensor, Tensor] | None
    ) -> DataSet:
        """Return the same images with another size, number of channels or scaling in `to_inputs`.
        Tables are returned unchanged.

        Args:
            side: side of the square that images are resized to; None keeps their size.
            channels: number of channels that grey images are repeated to; None keeps them.
            scaling: mean and standard deviation of each channel `(C,)`, in units of a pixel's
                value; None keeps those of the data. Images in floats always keep their own.
        """
        if self.x_train.ndim != 4 or (side, channels, scaling) == (None, None, None):
            return self
        current = self.mean, self.std
        mean, std = current if scaling is None or self.mean is None else scaling
        changed = replace(self, side=side, channels=channels, mean=mean, std=std)
        vars(changed)["digest"] = self.digest  # Same tensors: hashing 300 MB again takes time.
        return changed

    def with_scaling_on(self, device: torch.device) -> DataSet:
        """Return the data set with `mean` and `std` on a device, so that `to_inputs` need not copy
        them for every batch."""
        if self.mean is None or self.std is None:
            return self
        return replace(self, mean=self.mean.to(device), std=self.std.to(device))

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score of a network's outputs; NaN if one of them is not finite."""
        return self.problem.score(outputs, targets) if outputs.isfinite().all() else math.nan


def scale_split(name: str, data: TrainTestSplit) -> DataSet:
    """Return the data set of a training and test split, scaled by the training split.

    Columns of tables get mean 0 and standard deviation 1. Images in uint8 stay unchanged;
    `DataSet.to_inputs` scales them. The problem prepares the targets.
    """
    x_train, x_test = data.x_train, data.x_test
    mean = std = None
    if x_train.dtype == torch.uint8 and x_train.ndim == 4:
        mean, std = _pixel_statistics(x_train)
    else:
        x_train, x_test = standardise(x_train, x_test)
    y_train, y_test = data.problem.prepare_targets(data.y_train, data.y_test)
    return DataSet(name, data.about, x_train, y_train, x_test, y_test, data.problem, mean, std)


def _pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the exact mean and standard deviation of each channel, `(C,)`, computed from how often
    each of the 256 values occurs."""
    channels = [images[:, channel].flatten() for channel in range(images.shape[1])]
    counts = torch.stack([torch.bincount(c, minlength=256) for c in channels]).double()
    pixels, values = counts.sum(dim=1, keepdim=True), torch.arange(256.0, dtype=torch.float64)
    mean = (counts * values).sum(dim=1, keepdim=True) / pixels
    squares = (counts * (values - mean).square()).sum(dim=1, keepdim=True)
    std = (squares / (pixels - 1)).sqrt()
    return mean.squeeze(1).float(), torch.where(std > 0, std, 1.0).squeeze(1).float()


def _resized(x: Tensor, side: int) -> Tensor:
    """Return images `(N, C, side, side)` by bilinear interpolation, antialiased if they become
    smaller."""
    if x.shape[-2:] == (side, side):
        return x
    smaller = side < max(x.shape[-2:])
    return F.interpolate(x, (side, side), mode="bilinear", antialias=smaller)
