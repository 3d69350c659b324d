"""`SecondOrder`: the methods of `hinged.optim` for networks with one hidden layer."""

from __future__ import annotations

from hinged.optim import METHODS, MLP, net_control
from hinged.optim.fit import mean_error
from hinged.sklearn.samples import Samples
from hinged.sklearn.solvers.solver import Solver


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
        net_control(network, training.inputs)
        self.steps = METHODS[method](network, training.inputs, training.targets)

    def iterate(self, training: Samples) -> float:
        """Take one step, and return half the mean squared error after it."""
        next(self.steps)
        error = mean_error(self.network, training.inputs, training.targets)
        return error / (2 * training.targets.shape[1])
