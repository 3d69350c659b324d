"""`LBFGS`: training on all rows together by a quasi-Newton method."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split


class LBFGS(Solver):
    """Training on all rows together by L-BFGS, curves included.

    Args:
        network: the network.
        loss_of_rows: the loss.
        training: the training rows.
        alpha: strength of the L2 penalty on the weights, which is divided by the sum of the weights
            of the rows. Curves and biases have no penalty.
    """

    def __init__(
        self, network: nn.Module, loss_of_rows: LossOfRows, training: Samples, *, alpha: float
    ) -> None:
        self.network, self.loss_of_rows, self.training = network, loss_of_rows, training
        self.alpha = alpha
        self.last_loss = math.inf
        self.optimizer = torch.optim.LBFGS(
            network.parameters(),
            max_iter=1,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

    def iterate(self, _: Split) -> float:
        """Take one step, and return the mean training loss before it."""
        training = self.training
        factor = self.alpha / 2 / float(training.weights.sum())

        def compute_gradients() -> Tensor:
            self.optimizer.zero_grad()
            outputs = self.network(training.inputs)
            loss = training.mean(self.loss_of_rows(outputs, training.targets))
            loss = loss + factor * self._penalty()
            loss.backward()
            return loss

        loss = float(self.optimizer.step(compute_gradients).detach())
        if loss == self.last_loss:  # At a kink of an activation, the line search can find no step.
            self.optimizer.state.clear()
        self.last_loss = loss
        return loss

    def _penalty(self) -> Tensor:
        layers = [each for each in self.network.modules() if isinstance(each, nn.Linear)]
        return torch.stack([layer.weight.square().sum() for layer in layers]).sum()
