"""`Solver`: what all methods that train a network have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from hinged.sklearn.packed_network import PackedNetwork
from hinged.sklearn.split import Split


class Solver(ABC):
    """A method that trains a network in place, one iteration after the other.

    Attributes:
        network: the network, which may be a `PackedNetwork` of several.
        has_rate: whether the method has a learning rate that can be lowered.
    """

    network: nn.Module
    has_rate = False

    @abstractmethod
    def iterate(self, split: Split) -> float:
        """Train for one iteration over the training rows, and return the mean training loss."""

    def set_rate(self, share: float) -> None:
        """Set the learning rate to a share of its start."""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """The number of networks that are trained together."""
        return self.network.count if isinstance(self.network, PackedNetwork) else 1

    def unpack(self) -> list[nn.Module]:
        """Return the networks one by one, with the present parameters."""
        if isinstance(self.network, PackedNetwork):
            return self.network.unpack()
        return [self.network]
