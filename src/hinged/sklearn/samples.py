"""Rows of a table with their targets and weights, as a network is trained on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from hinged.sklearn.scaling import range_of_columns

LossOfRows = Callable[[Tensor, Tensor], Tensor]
"""A function that returns the loss of each row, `(rows,)`, for outputs and targets."""

_ROWS_AT_A_TIME = 4096
"""Number of rows for which a network computes its outputs together."""


@dataclass(frozen=True)
class Samples:
    """Rows of a table with their targets and weights.

    Attributes:
        inputs: the scaled table, `(rows, features)`: a tensor, or a sparse matrix of scipy, whose
            batches are made dense.
        targets: targets of the rows, `(rows, outputs)`, or class numbers, `(rows,)`.
        weights: weight of each row, `(rows,)`, above 0.
    """

    inputs: Any
    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: Tensor) -> Samples:
        """Return the rows with these numbers. Inputs that are sparse stay so."""
        if isinstance(self.inputs, Tensor):
            return self.take(rows)
        return Samples(self.inputs[rows.cpu().numpy()], self.targets[rows], self.weights[rows])

    def take(self, rows: Tensor) -> Samples:
        """Return the rows with these numbers. Inputs that are sparse become dense."""
        weights = self.weights[rows]
        return Samples(_dense(self.inputs, rows).to(weights), self.targets[rows], weights)

    def repeat(self) -> Samples:
        """Return each row as often as its weight says, which is a whole number."""
        counts = self.weights.long()
        rows = self.take(torch.arange(len(self)).repeat_interleave(counts))
        return Samples(rows.inputs, rows.targets, torch.ones_like(rows.weights))

    def to(self, device: torch.device, dtype: torch.dtype) -> Samples:
        """Return the samples on a device. Targets that are class numbers keep their dtype."""
        is_dense = isinstance(self.inputs, Tensor)
        is_number = self.targets.is_floating_point()
        return Samples(
            self.inputs.to(device, dtype) if is_dense else self.inputs,
            self.targets.to(device, dtype if is_number else None),
            self.weights.to(device, dtype),
        )

    def batches(self, order: Tensor, size: int) -> Iterator[Samples]:
        """Yield the rows in the given order, `size` rows at a time."""
        for rows in order.split(size):
            yield self.take(rows)

    def count_nonzero(self) -> Tensor:
        """Return the number of rows in which an input is not 0, `(features,)`."""
        if isinstance(self.inputs, Tensor):
            # To count, torch converts the numbers to integers of 8 bytes, so it gets small parts.
            parts = self.inputs.split(_ROWS_AT_A_TIME)
            return torch.stack([each.count_nonzero(dim=0) for each in parts]).sum(dim=0)
        return torch.from_numpy((self.inputs != 0).getnnz(axis=0))

    def outputs(self, network: nn.Module, networks: int = 1) -> Tensor:
        """Return the outputs of a network for all rows, `(rows, outputs)` (`compute_outputs`)."""
        return compute_outputs(network, self.inputs, networks)

    def range_of_inputs(self) -> Tensor:
        """Return the least and the largest number of each column, `(2, features)`."""
        if isinstance(self.inputs, Tensor):
            return torch.stack([self.inputs.amin(dim=0), self.inputs.amax(dim=0)])
        return torch.from_numpy(range_of_columns(self.inputs))

    def mean(self, losses: Tensor) -> Tensor:
        """Return the weighted mean of a number for each row, `(rows,)`."""
        return self.means(losses, 1)[0]

    def means(self, losses: Tensor, networks: int) -> Tensor:
        """Return the weighted mean of a number for each row over the rows of each network.

        The rows are for the networks in turn, as a `PackedNetwork` takes them.
        """
        weights = self.weights.view(-1, networks)
        return (losses.view(-1, networks) * weights).sum(dim=0) / weights.sum(dim=0)


def make_samples(
    inputs: Any, targets: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]
) -> Samples:
    """Return samples on the CPU with the dtypes of the arrays."""
    if not sparse.issparse(inputs):
        inputs = torch.from_numpy(inputs)
    return Samples(inputs, torch.from_numpy(targets), torch.from_numpy(weights))


@torch.no_grad()
def compute_outputs(network: nn.Module, inputs: Any, networks: int = 1) -> Tensor:
    """Return the outputs of a network for a scaled table, `(rows, outputs)`.

    Args:
        network: the network, or a `PackedNetwork`.
        inputs: a tensor or a sparse matrix, `(rows, features)`.
        networks: the number of networks in a `PackedNetwork`.
    """
    like = next(network.parameters())
    size = math.ceil(_ROWS_AT_A_TIME / networks) * networks
    parts = torch.arange(inputs.shape[0]).split(size)
    return torch.cat([network(_dense(inputs, rows).to(like)) for rows in parts])


def _dense(inputs: Any, rows: Tensor) -> Tensor:
    if isinstance(inputs, Tensor):
        return inputs[rows.to(inputs.device)]
    return torch.from_numpy(inputs[rows.cpu().numpy()].toarray())
