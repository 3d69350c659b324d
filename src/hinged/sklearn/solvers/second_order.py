"""`SecondOrder`: the methods of `hinged.optim` for networks with one hidden layer."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hinged.optim import METHODS, MLP, net_control
from hinged.optim.batches import BATCH_ROWS
from hinged.optim.divergence import finite_error, undone_on_error
from hinged.sklearn.samples import Samples
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split


class SecondOrder(Solver):
    """Training on all rows together by a method of `hinged.optim`, which minimises squared errors.

    Args:
        network: the network, in float64.
        method: a name in `hinged.optim.METHODS`.
        training: the training rows, with inputs and targets in float64 on the CPU.
    """

    network: MLP

    def __init__(self, network: MLP, method: str, training: Samples) -> None:
        self.network = network
        is_dense = isinstance(training.inputs, Tensor)
        x = training.inputs if is_dense else _DenseBatches(training)
        self.rows = x, training.targets if is_dense else None
        net_control(network, x)
        self.steps = METHODS[method](network, *self.rows)

    def iterate(self, split: Split) -> float:
        """Take one step, and return half the mean squared error after it.

        Raises:
            ArgumentError: if the numbers of the step become infinite or NaN. The step is undone.
        """
        with undone_on_error(self.network):
            next(self.steps)
            error = finite_error(self.network, *self.rows)
        return error / (2 * split.samples.targets.shape[1])


class _DenseBatches:
    """The inputs and targets of a sparse table, of which one batch at a time becomes dense."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.samples.batches(torch.arange(len(self.samples)), BATCH_ROWS):
            yield batch.inputs, batch.targets
