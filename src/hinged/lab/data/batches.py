"""The training split in shuffled batches, made on the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hinged.lab.data.augment import augment, check, draws, follow
from hinged.lab.data.dataset import DataSet
from hinged.lab.experiment.ranks import ALONE, Ranks

Batch = tuple[Tensor, Tensor]

_SHARE_OF_DEVICE = 0.25


class Batches:
    """The batches of each epoch: `(inputs, targets)`, shuffled, augmented and scaled.

    Order and augmentation depend on seed and epoch alone, so that every activation meets the same
    batches and a continued training those of an uninterrupted one.

    Args:
        data: the data set; its training split is copied to the device if it takes no more than a
            quarter of the free memory there, or else batch by batch.
        batch_size: samples a batch. A single sample left over at the end is not trained on: batch
            normalisation cannot.
        seed: of the run.
        epoch: returns the number of the epoch, when its first batch is asked for.
        augmentations: names in `AUGMENTATIONS`.
        device: where the batches are needed.
        ranks: of several processes, which one this is: each gets its share of every batch, all of
            the same size, for which up to one sample less than there are processes is left out.

    Raises:
        UnknownNameError, ArgumentError: an augmentation that is unknown or not for such data.
    """

    def __init__(
        self,
        data: DataSet,
        batch_size: int,
        seed: int,
        epoch: Callable[[], int],
        augmentations: Sequence[str] = (),
        device: torch.device | str = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        check(augmentations, data.x_train, data.problem)
        self.batch_size, self.seed, self.epoch = batch_size, seed, epoch
        self.augmentations, self.device = augmentations, torch.device(device)
        self.ranks = ranks
        self.data = data.scaling_on(self.device)
        self.x, self.y = data.x_train, data.y_train
        if _fits(self.x, self.device):
            self.x, self.y = self.x.to(self.device), self.y.to(self.device)

    def __len__(self) -> int:
        whole, left = divmod(len(self.x), self.batch_size)
        return whole + (left // self.ranks.world > 1)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch()
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(len(self.x), generator=generator).to(self.x.device)
        drawn = draws(len(self.x), self.seed, epoch).to(self.x.device)
        for all_rows in order.split(self.batch_size)[: len(self)]:
            rows = self._share(all_rows)
            # Not self.x[rows], which took twenty times as long for 128 images in uint8.
            x, y = (each.index_select(0, rows).to(self.device) for each in (self.x, self.y))
            if self.augmentations:
                mine = drawn.index_select(0, rows).to(self.device)
                x = augment(x, self.augmentations, mine)
                y = follow(y, self.augmentations, mine, self.data.problem)
            yield self.data.scaled(x), y

    def _share(self, rows: Tensor) -> Tensor:
        """Return the rows that this process takes."""
        rank, world, *_ = self.ranks
        return rows[: len(rows) - len(rows) % world][rank::world]


def _fits(x: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type == "cpu"
    free, _ = torch.cuda.mem_get_info(device)
    return x.nbytes <= _SHARE_OF_DEVICE * free
