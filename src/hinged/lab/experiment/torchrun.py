"""The processes that `torchrun` started for one training, on one machine or several.

They share one run folder, which every machine must be able to read and write.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""Environment variables that torchrun sets, in the order of the fields of `TorchrunProcess`."""


class TorchrunProcess(NamedTuple):
    """This process among those of the training; by default it is the only one.

    Attributes:
        rank: number of this process, from 0. Process 0 writes files and prints.
        world_size: number of processes on all machines.
        local_world_size: number of processes on each machine.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @property
    def machines(self) -> int:
        """Return the number of machines."""
        return self.world_size // self.local_world_size


SINGLE_PROCESS = TorchrunProcess()


def torchrun_process() -> TorchrunProcess:
    """Return the rank and number of processes that torchrun gave, or `SINGLE_PROCESS`.

    >>> torchrun_process()
    TorchrunProcess(rank=0, world_size=1, local_world_size=1)
    """
    if not (torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()):
        return SINGLE_PROCESS
    return TorchrunProcess(*(int(os.environ[name]) for name in _VARIABLES))
