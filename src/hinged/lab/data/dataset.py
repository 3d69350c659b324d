"""A data set in memory: split, scaled and hashed."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
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
        side: of the square that `scaled` resizes images to; None leaves their size.
        channels: that `scaled` repeats grey images to; None leaves them.
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
    side: int | None = None
    channels: int | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of what a network is given for one sample."""
        return tuple(self.scaled(self.x_train[:1]).shape[1:])

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
            The same shape in float32, but for images that are resized or repeated in other
            channels; each channel of the training images has mean 0 and standard deviation 1,
            unless the data were `fitted` to weights.
        """
        if self.channels is not None and x.shape[1] == 1:
            x = x.expand(-1, self.channels, -1, -1)
        if self.mean is not None and self.std is not None:
            mean, std = (each.to(x.device).view(_CHANNELS) for each in (self.mean, self.std))
            x = x.to(torch.float32).sub_(mean).div_(std)
        return x if self.side is None else _resized(x, self.side)

    def fitted(
        self, side: int | None, channels: int | None, scaling: tuple[Tensor, Tensor] | None
    ) -> DataSet:
        """Return the same images, given to a network in another way.

        Args:
            side: of the square that they are resized to; None leaves their size.
            channels: that grey images are repeated to; None leaves them.
            scaling: mean and deviation of each channel `(C,)`, in the pixels' unit, instead of
                their own; None, and images that are no pixels, keep their own.
        """
        if self.x_train.ndim != 4 or (side, channels, scaling) == (None, None, None):
            return self
        own = self.mean, self.std
        mean, std = own if scaling is None or self.mean is None else scaling
        made = replace(self, side=side, channels=channels, mean=mean, std=std)
        vars(made)["digest"] = self.digest  # Of the same tensors: hashing 300 MB takes its time.
        return made

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


def _resized(x: Tensor, side: int) -> Tensor:
    """Return images `(N, C, side, side)` by linear interpolation, of the mean over all pixels that
    fall into one where they become smaller."""
    if x.shape[-2:] == (side, side):
        return x
    smaller = side < max(x.shape[-2:])
    return F.interpolate(x, (side, side), mode="bilinear", antialias=smaller)
