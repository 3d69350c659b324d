"""A data set in memory: training and test split, scaling of the inputs, and hash."""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hinged.lab.data.data_facts import DataFacts, collect_facts
from hinged.lab.data.tables.table_notes import NO_NOTES, TableNotes
from hinged.lab.data.tables.table_rows import TableRows
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Problem
from hinged.lab.problems.predictions import Predictions
from hinged.lab.problems.problem import TargetScale, standardise

_CHANNELS = (1, -1, 1, 1)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set that is ready for training.

    Attributes:
        name: name of the data set in results.
        about: sentence that describes the data and the division into splits.
        x_train: training inputs: a scaled table `(N, features)` in float32, or images
            `(N, C, H, W)`. Images in uint8 are not scaled here, but in `to_inputs`.
        y_train: training targets, in the form that `problem.loss` and `problem.score` accept.
        x_test: test inputs, in the same form as `x_train`.
        y_test: test targets, in the same form as `y_train`.
        problem: task of the data set, which defines the loss and the score.
        mean: mean pixel value (0 to 255) of each channel of the training images, `(C,)`. None if
            `x_train` and `x_test` are already scaled. `to_inputs` then does not scale them.
        std: standard deviation of the pixel values of each channel, `(C,)`. None if `mean` is None.
        side: height and width in pixels to which `to_inputs` resizes images. If None, images keep
            their size.
        channels: number of channels to which `to_inputs` repeats images with one channel (grey
            images). If None, images keep their channels.
        target_scale: the scale of targets that are numbers. None if targets were not scaled.
        notes: sentences about the columns of a table of the user.
        source: the rows of a table whose encoding depends on the training rows, or whose rows
            belong together. None for all other data.
        digest: SHA-256 of the shapes and bytes of the inputs and targets, as hexadecimal text.
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
    target_scale: TargetScale | None = None
    notes: TableNotes = NO_NOTES
    source: TableRows | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of a network input without the batch axis."""
        return tuple(self.to_inputs(self.x_train[:1]).shape[1:])

    @property
    def classes(self) -> int | None:
        """Return the number of classes, or None if the task is not a classification."""
        return self.problem.classes

    @property
    def outputs(self) -> int:
        """Return the number of network outputs for each sample.

        For object detection, this is the number of outputs for each cell of the output grid.
        """
        return self.problem.outputs

    @property
    def metric(self) -> str:
        """Return the name of the score. A larger score is better."""
        return self.problem.metric

    @functools.cached_property
    def digest(self) -> str:
        """Return the SHA-256 hash of all inputs and targets. It identifies the data in results."""
        state = hashlib.sha256()
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            state.update(str(tuple(tensor.shape)).encode())
            state.update(tensor.contiguous().numpy().data)
        return state.hexdigest()

    @functools.cached_property
    def facts(self) -> DataFacts:
        """Return facts that decide whether scores on the test split mean anything."""
        return collect_facts(self.x_train, self.x_test, self.y_test, self.problem)

    def to_inputs(self, x: Tensor) -> Tensor:
        """Convert rows of `x_train` or `x_test` to network inputs.

        Args:
            x: rows of a table `(N, features)`, or images `(N, C, H, W)`, on any device.

        Returns:
            Network inputs in float32, on the same device. Tables are returned unchanged. Images are
            changed by the attributes that are not None: grey images are repeated to `channels`
            channels, images are scaled with `mean` and `std`, and images are resized to `side` x
            `side` pixels.
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
        """Return a data set whose `to_inputs` uses another image size, channel number or scaling.

        Images and targets are not copied. A data set with a table is returned unchanged.

        Args:
            side: height and width in pixels to which images are resized. If None, images keep their
                size.
            channels: number of channels to which images with one channel (grey images) are
                repeated. If None, images keep their channels.
            scaling: mean and standard deviation of the pixel values (0 to 255) of each channel,
                both `(C,)`. If None, the scaling does not change. Images in floats ignore this
                argument.
        """
        if self.x_train.ndim != 4 or (side, channels, scaling) == (None, None, None):
            return self
        current = self.mean, self.std
        mean, std = current if scaling is None or self.mean is None else scaling
        changed = replace(self, side=side, channels=channels, mean=mean, std=std)
        # The tensors are the same. Hashing 300 MB again takes time.
        vars(changed).update(digest=self.digest, facts=self.facts)
        return changed

    def with_scaling_on(self, device: torch.device) -> DataSet:
        """Return the data set with `mean` and `std` on a device.

        `to_inputs` then does not copy `mean` and `std` for every batch on this device.
        """
        if self.mean is None or self.std is None:
            return self
        return replace(self, mean=self.mean.to(device), std=self.std.to(device))

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the score of network outputs, or NaN if an output is not finite.

        Args:
            outputs: network outputs, `(N, ...)`.
            targets: targets of the same samples, in the form of `y_test`.
        """
        return self.problem.score(outputs, targets) if outputs.isfinite().all() else math.nan

    def describe_predictions(self, outputs: Tensor) -> tuple[dict[str, float], Predictions | None]:
        """Return what reports show about the predictions of a network on the test split.

        Args:
            outputs: network outputs for all samples of the test split, `(N, ...)`.

        Returns:
            Further scores by name, and the predictions that are kept. There are none if an output
            is not finite, and none in object detection.
        """
        if not outputs.isfinite().all():
            return {}, None
        targets = self.y_test
        if self.target_scale is not None:
            outputs, targets = map(self.target_scale.to_units, (outputs, targets))
        scores = self.problem.other_scores(outputs, targets)
        return scores, self.problem.keep_predictions(outputs, targets)


def scale_split(name: str, data: TrainTestSplit) -> DataSet:
    """Create a data set and scale it with the mean and standard deviation of the training split.

    Table columns and the channels of images in floats get mean 0 and standard deviation 1 in the
    training split. Images in uint8 stay unchanged, because `DataSet.to_inputs` scales them.
    `Problem.prepare_targets` converts the targets.

    Args:
        name: name of the data set in results.
        data: training and test split before scaling.
    """
    x_train, x_test = data.x_train, data.x_test
    mean = std = None
    if x_train.dtype == torch.uint8 and x_train.ndim == 4:
        mean, std = _pixel_statistics(x_train)
    else:
        x_train, x_test = standardise(x_train, x_test)
    y_train, y_test = data.problem.prepare_targets(data.y_train, data.y_test)
    return DataSet(
        name,
        data.about,
        x_train,
        y_train,
        x_test,
        y_test,
        data.problem,
        mean,
        std,
        target_scale=data.problem.target_scale(data.y_train),
        notes=data.notes,
        source=data.source,
    )


def _pixel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the exact mean and standard deviation of the pixels of each channel, both `(C,)`.

    They are computed from the counts of the 256 pixel values. A standard deviation of 0 is replaced
    by 1.
    """
    channels = [images[:, channel].flatten() for channel in range(images.shape[1])]
    counts = torch.stack([torch.bincount(c, minlength=256) for c in channels]).double()
    pixels, values = counts.sum(dim=1, keepdim=True), torch.arange(256.0, dtype=torch.float64)
    mean = (counts * values).sum(dim=1, keepdim=True) / pixels
    squares = (counts * (values - mean).square()).sum(dim=1, keepdim=True)
    std = (squares / (pixels - 1)).sqrt()
    return mean.squeeze(1).float(), torch.where(std > 0, std, 1.0).squeeze(1).float()


def _resized(x: Tensor, side: int) -> Tensor:
    """Resize images to `(N, C, side, side)` by bilinear interpolation.

    Antialiasing is used if the images become smaller.
    """
    if x.shape[-2:] == (side, side):
        return x
    smaller = side < max(x.shape[-2:])
    return F.interpolate(x, (side, side), mode="bilinear", antialias=smaller)
