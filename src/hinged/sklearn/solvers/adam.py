"""`Adam`: training on batches, with curves in their metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hinged.nn import param_groups
from hinged.sklearn.samples import LossOfRows
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split

_LARGEST_GRADIENT = 1.0


class Adam(Solver):
    """Training on batches by Adam. Curves are trained in their metric (`hinged.param_groups`).

    Args:
        network: the network, or a `PackedNetwork`.
        loss_of_rows: the loss.
        samples: number of training rows of a network. It decides how strongly curves are pulled to
            their start.
        lr: learning rate of the weights.
        alpha: strength of the L2 penalty on the weights, which is divided by the size of a batch.
        smoothing: how stiff curves are in their metric.
        batch_size: number of rows in a batch.
        order: random numbers for the order of the rows of each network. None keeps the order.
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
        order: Sequence[torch.Generator] | None,
    ) -> None:
        self.network, self.loss_of_rows = network, loss_of_rows
        self.batch_size, self.order = batch_size, order
        groups = param_groups(network, lr, alpha / batch_size, smoothing=smoothing, samples=samples)
        self.optimizer = torch.optim.Adam(_without_decay_of_biases(groups), fused=True)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def iterate(self, split: Split) -> float:
        """Train on all batches once, and return the mean training loss.

        Each network has the gradients that it would have alone, and they are clipped alone. Its
        steps are those that it would have alone, too, except that curves of a layer share the scale
        of their inputs.
        """
        samples, numbers = split.samples, self._shuffled(split.training)
        rows, networks = numbers.shape
        mean_weights = samples.weights[split.training].mean(dim=0)
        total = torch.zeros_like(mean_weights)
        for part in numbers.split(self.batch_size):
            batch = samples.take(part.flatten())
            losses = self.loss_of_rows(self.network(batch.inputs), batch.targets) * batch.weights
            loss_of_networks = losses.view(part.shape).mean(dim=0) / mean_weights
            self.optimizer.zero_grad()
            loss_of_networks.sum().backward()
            _clip_gradients(self.network.parameters(), networks)
            self.optimizer.step()
            total += loss_of_networks.detach() * len(part)
        return float(total.mean()) / rows

    def _shuffled(self, numbers: Tensor) -> Tensor:
        """Return the row numbers, `(rows, networks)`, in the order of an iteration."""
        if self.order is None:
            return numbers
        orders = [torch.randperm(len(numbers), generator=each) for each in self.order]
        return numbers.gather(0, torch.stack(orders, dim=1).to(numbers.device))

    def set_rate(self, share: float) -> None:
        """Set the learning rates to a share of their start."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = share * rate


def _clip_gradients(parameters: Iterable[nn.Parameter], networks: int) -> None:
    """Shorten the gradient of each network that is longer than 1 to this length.

    Args:
        parameters: parameters with the networks along their first axis.
        networks: the number of networks.
    """
    gradients = [each.grad.view(networks, -1) for each in parameters if each.grad is not None]
    lengths = torch.linalg.vector_norm(torch.cat(gradients, dim=1), dim=1)
    # To look at lengths on a GPU would wait for it. One network may have NaN.
    if not lengths.is_cpu or not (lengths <= _LARGEST_GRADIENT).all():
        factors = (_LARGEST_GRADIENT / (lengths + 1e-6)).clamp_(max=1.0)[:, None]
        for each in gradients:
            each *= factors


def _without_decay_of_biases(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups with the vectors of the first group, the weights, in one without decay."""
    weights, *others = groups
    matrices = [each for each in weights["params"] if each.dim() > 1]
    vectors = [each for each in weights["params"] if each.dim() == 1]
    biases = {**weights, "name": "biases", "params": vectors, "weight_decay": 0.0}
    return [{**weights, "params": matrices}, biases, *others]
