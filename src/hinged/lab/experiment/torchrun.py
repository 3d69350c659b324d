"""Rank and number of the processes that `torchrun` starts for one training.

All processes use the same run folder. Every machine must be able to read and write this folder.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""Environment variables of torchrun, in the order of the fields of `TorchrunProcess`."""


class TorchrunProcess(NamedTuple):
    """The rank of this process, and the number of processes that train one network together.

    The default values describe a training in a single process.

    Attributes:
        rank: index of this process, starting at 0. Only the process of rank 0 writes files and
            prints.
        world_size: number of processes on all machines together.
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
    """Return the rank and the number of processes from the environment variables of torchrun.

    Returns:
        The values of torchrun. If torchrun did not start this process: rank 0 of 1 process.

    >>> torchrun_process()
    TorchrunProcess(rank=0, world_size=1, local_world_size=1)
    """
    if not (torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()):
        return SINGLE_PROCESS
    return TorchrunProcess(*(int(os.environ[name]) for name in _VARIABLES))
