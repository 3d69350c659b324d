"""`Solver`: what all methods that train a network have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from hinged.sklearn.samples import Samples


class Solver(ABC):
    """A method that trains a network in place, one iteration after the other.

    Attributes:
        network: the network.
        has_rate: whether the method has a learning rate that can be lowered.
    """

    network: nn.Module
    has_rate = False

    @abstractmethod
    def iterate(self, training: Samples) -> float:
        """Train for one iteration over the training rows, and return the mean training loss."""

    def set_rate(self, share: float) -> None:
        """Set the learning rate to a share of its start."""
        raise NotImplementedError
