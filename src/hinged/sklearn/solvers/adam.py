"""`Adam`: training on batches, with curves in their metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hinged.nn import param_groups
from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.solvers.solver import Solver

_LARGEST_GRADIENT = 1.0


class Adam(Solver):
    """Training on batches by Adam. Curves are trained in their metric (`hinged.param_groups`).

    Args:
        network: the network.
        loss_of_rows: the loss.
        samples: number of training rows. It decides how strongly curves are pulled to their start.
        lr: learning rate of the weights.
        alpha: strength of the L2 penalty on the weights, which is divided by the size of a batch.
        smoothing: how stiff curves are in their metric.
        batch_size: number of rows in a batch.
        order: random numbers for the order of the rows in each iteration. None keeps the order.
    """

    has_rate = True

    def __init__(
        self,
        network: nn.Module,
        loss_of_rows: LossOfRows,
        samples: int,
        *,
        lr: float,
        alpha: float,
        smoothing: float,
        batch_size: int,
        order: torch.Generator | None,
    ) -> None:
        self.network, self.loss_of_rows = network, loss_of_rows
        self.batch_size, self.order = batch_size, order
        groups = param_groups(network, lr, alpha / batch_size, smoothing=smoothing, samples=samples)
        self.optimizer = torch.optim.Adam(_without_decay_of_biases(groups), fused=True)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def iterate(self, training: Samples) -> float:
        """Train on all batches once, and return the mean training loss."""
        count = len(training)
        order = (
            torch.arange(count)
            if self.order is None
            else torch.randperm(count, generator=self.order)
        )
        mean_weight = training.weights.mean()
        total = torch.zeros_like(mean_weight)
        for batch in training.batches(order.to(training.weights.device), self.batch_size):
            losses = self.loss_of_rows(self.network(batch.inputs), batch.targets)
            loss = (losses * batch.weights).mean() / mean_weight
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
            self.optimizer.step()
            total += loss.detach() * len(batch)
        return float(total) / count

    def set_rate(self, share: float) -> None:
        """Set the learning rates to a share of their start."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = share * rate


def _without_decay_of_biases(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups with the vectors of the first group, the weights, in one without decay."""
    weights, *others = groups
    matrices = [each for each in weights["params"] if each.dim() > 1]
    vectors = [each for each in weights["params"] if each.dim() == 1]
    biases = {**weights, "name": "biases", "params": vectors, "weight_decay": 0.0}
    return [{**weights, "params": matrices}, biases, *others]
