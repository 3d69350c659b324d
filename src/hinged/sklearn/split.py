"""`Split`: which rows of a table networks are trained on, and which are held out from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from hinged.sklearn.samples import Samples

_FEWEST_HELD_OUT = 5
"""Smallest number of validation rows. With fewer, all rows are training rows."""


@dataclass(frozen=True)
class Split:
    """The rows that each of several networks is trained on, and those held out from it.

    Attributes:
        samples: all rows.
        training: numbers of the training rows of each network, `(rows, networks)`.
        held_out: numbers of the validation rows of each network, `(rows, networks)`.
    """

    samples: Samples
    training: Tensor
    held_out: Tensor

    @classmethod
    def without_held_out(cls, samples: Samples, networks: int) -> Split:
        """Return a split in which each network is trained on all rows."""
        numbers = torch.arange(len(samples), device=samples.weights.device)
        numbers = numbers[:, None].expand(-1, networks)
        return cls(samples, numbers, numbers[:0])

    @classmethod
    def at_random(cls, samples: Samples, share: float, seeds: Sequence[int]) -> Split:
        """Return a split with other validation rows for each network.

        Args:
            samples: the rows.
            share: share of the validation rows. If they are fewer than 5, there are none.
            seeds: decides the choice for each network.
        """
        if not held_out_count(len(samples), share):
            return cls.without_held_out(samples, len(seeds))
        targets = samples.targets
        classes = None if targets.is_floating_point() else targets.cpu().numpy()
        parts = zip(
            *(split_rows(len(samples), share, seed, classes) for seed in seeds), strict=True
        )
        device = targets.device
        return cls(
            samples, *(torch.from_numpy(np.stack(each, axis=1)).to(device) for each in parts)
        )

    def training_of(self, network: int) -> Samples:
        """Return the training rows of a network."""
        if not len(self.held_out):
            return self.samples
        return self.samples.select(self.training[:, network])

    def held_out_of(self, network: int) -> Samples | None:
        """Return the validation rows of a network, or None if there are none."""
        if not len(self.held_out):
            return None
        return self.samples.select(self.held_out[:, network])

    @cached_property
    def _nonzero_inputs(self) -> Tensor:
        return self.samples.count_nonzero()

    def zero_inputs_of(self, network: int) -> Tensor:
        """Return whether an input is 0 in all training rows of a network, `(features,)`."""
        held_out = self.held_out_of(network)
        if held_out is None:
            return self._nonzero_inputs == 0
        return self._nonzero_inputs == held_out.count_nonzero()

    def all_held_out(self) -> Samples | None:
        """Return the validation rows of all networks in turn, as a `PackedNetwork` takes them."""
        if not len(self.held_out):
            return None
        return self.samples.select(self.held_out.flatten())


def held_out_count(rows: int, share: float) -> int:
    """Return the number of validation rows: 0 if they would be fewer than 5.

    >>> held_out_count(100, 0.1), held_out_count(40, 0.1)
    (10, 0)
    """
    count = int(share * rows)
    return count if count >= _FEWEST_HELD_OUT else 0


def split_rows(
    rows: int, share: float, seed: int, classes: NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the training rows and of the validation rows, chosen at random.

    Args:
        rows: number of rows.
        share: share of the validation rows. If they are fewer than 5, there are none.
        seed: decides the choice.
        classes: number of the class of each row, to have all classes in both parts in the same
            shares if each class has two rows. None for regression.
    """
    numbers = np.arange(rows)
    if not held_out_count(rows, share):
        return numbers, numbers[:0]
    if classes is not None:
        counts = np.bincount(classes)
        if counts[counts > 0].min() < 2 or int(share * rows) < len(counts):
            classes = None
    training, held_out = train_test_split(
        numbers, test_size=share, random_state=seed, stratify=classes
    )
    return training, held_out
