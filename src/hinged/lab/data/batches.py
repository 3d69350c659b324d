"""Shuffled batches of a training split, augmented and scaled on the training device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hinged.lab.data.augment import (
    augment_images,
    augment_targets,
    check_augmentations,
    draw_random_numbers,
)
from hinged.lab.data.data_set import DataSet
from hinged.lab.experiment.torchrun import SINGLE_PROCESS, TorchrunProcess

Batch = tuple[Tensor, Tensor]

_SHARE_OF_DEVICE = 0.25


class Batches:
    """An iterable over the batches `(inputs, targets)` of an epoch.

    Batches are shuffled, augmented and scaled. Order and augmentation depend only on the seed and
    the epoch. Every activation is therefore trained on the same batches. A resumed training also
    uses the same batches as an uninterrupted training.

    Args:
        data: data set with the training split. On a GPU, the split is copied once if the inputs
            need at most a quarter of the free memory; otherwise, each batch is copied.
        batch_size: number of samples per batch. The last batch can be smaller. A last batch with
            a single sample is left out, because batch normalisation needs two samples.
        seed: seed of the training.
        epoch: function that returns the index of the current epoch. Each iteration over the
            batches starts with a call of this function.
        augmentations: names in `AUGMENTATIONS`, applied in this order.
        device: device of the batches.
        process: rank of this process and number of processes that train together. All processes
            take equal parts of every batch. Samples that cannot be divided equally are left out.
        steps: number of batches in an epoch. Each epoch starts a new pass over the samples, and
            further passes follow if one pass has fewer batches. None means one pass.

    Raises:
        UnknownNameError: if an augmentation is not in `AUGMENTATIONS`.
        ArgumentError: if an augmentation cannot be applied to the data.
    """

    def __init__(
        self,
        data: DataSet,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        augmentations: Sequence[str] = (),
        device: torch.device | str = "cpu",
        process: TorchrunProcess = SINGLE_PROCESS,
        steps: int | None = None,
    ) -> None:
        check_augmentations(augmentations, data.x_train, data.problem)
        self.batch_size, self.seed, self.epoch = batch_size, seed, epoch
        self.augmentations, self.device = augmentations, torch.device(device)
        self.process, self.steps = process, steps
        self.data = data.with_scaling_on(self.device)
        self.x, self.y = data.x_train, data.y_train
        if _fits_on(self.device, self.x):
            self.x, self.y = self.x.to(self.device), self.y.to(self.device)

    def __len__(self) -> int:
        return self.steps or self._steps_per_pass

    def __iter__(self) -> Iterator[Batch]:
        epoch, passes = self.epoch(), -(-len(self) // max(self._steps_per_pass, 1))
        numbers = range(epoch * passes, (epoch + 1) * passes)
        batches = itertools.chain.from_iterable(self._one_pass(number) for number in numbers)
        yield from itertools.islice(batches, len(self))

    @property
    def _steps_per_pass(self) -> int:
        return count_batches(len(self.x), self.batch_size, self.process.world_size)

    def _one_pass(self, number: int) -> Iterator[Batch]:
        """Yield the batches of one pass over all samples. Its number decides order and changes."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + number)
        order = torch.randperm(len(self.x), generator=generator).to(self.x.device)
        drawn = draw_random_numbers(len(self.x), self.seed, number).to(self.x.device)
        for all_rows in order.split(self.batch_size)[: self._steps_per_pass]:
            rows = self._share(all_rows)
            # self.x[rows] takes twenty times as long for 128 images in uint8.
            x, y = (each.index_select(0, rows).to(self.device) for each in (self.x, self.y))
            if self.augmentations:
                numbers = drawn.index_select(0, rows).to(self.device)
                x = augment_images(x, self.augmentations, numbers)
                y = augment_targets(y, self.augmentations, numbers, self.data.problem)
            yield self.data.to_inputs(x), y

    def _share(self, rows: Tensor) -> Tensor:
        """Return the part of `rows`, the row indices of a batch, that this process takes."""
        rank, world_size, _ = self.process
        return rows[: len(rows) - len(rows) % world_size][rank::world_size]


def count_batches(samples: int, batch_size: int, processes: int = 1) -> int:
    """Return the number of batches in one pass over the training samples.

    Args:
        samples: number of training samples.
        batch_size: number of samples per batch, of all processes together.
        processes: number of processes. A last batch in which a process would have a single sample
            is left out.

    >>> count_batches(9, 4), count_batches(10, 4)
    (2, 3)
    """
    whole, remaining = divmod(samples, batch_size)
    return whole + (remaining // processes > 1)


def _fits_on(device: torch.device, x: Tensor) -> bool:
    if device.type != "cuda":
        return device.type == "cpu"
    free, _ = torch.cuda.mem_get_info(device)
    return x.nbytes <= _SHARE_OF_DEVICE * free
