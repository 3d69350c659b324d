"""The processes of one training that `torchrun` started, on one machine or several.

They read and write one run folder, which all machines must see.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""What torchrun tells a process, in the order of the fields of `Ranks`."""


class Ranks(NamedTuple):
    """Which of the processes this one is; by default the only one.

    Attributes:
        rank: its number among all, from 0; that one writes and prints.
        world: how many there are.
        local_world: how many there are on this machine; as many on every other.
    """

    rank: int = 0
    world: int = 1
    local_world: int = 1

    @property
    def machines(self) -> int:
        """Return how many machines there are."""
        return self.world // self.local_world


ALONE = Ranks()


def ranks() -> Ranks:
    """Return what torchrun says, or that this process is alone.

    >>> ranks()
    Ranks(rank=0, world=1, local_world=1)
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    return Ranks(*(int(os.environ[name]) for name in _NAMES)) if distributed else ALONE
