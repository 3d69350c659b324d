"""Statistics that can be merged over batches, channels and processes."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor

S = TypeVar("S", bound="Mergeable")


class Mergeable(ABC):
    """Base class of statistics that can be merged, such as counts of the numbers of a tensor.

    The size of an object does not depend on how many numbers it describes. Subclasses are
    dataclasses.
    Their fields are tensors with channels on the first axis, or other `Mergeable` objects.
    """

    @abstractmethod
    def merge(self: S, other: S) -> S:
        """Return the statistics of all numbers that `self` or `other` describes."""


def merge_across_processes(statistics: S, group: torch.distributed.ProcessGroup | None = None) -> S:
    """Merge the statistics of all processes of `torch.distributed`, and return the result.

    Every process of the group must call this function, with statistics of the same shapes. The
    result has the same bits in every process. If `torch.distributed` is not initialised, the
    function returns `statistics`.

    Args:
        statistics: the statistics of this process.
        group: the processes whose statistics are merged; None for all processes.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return statistics
    parts = {field.name: getattr(statistics, field.name) for field in fields(statistics)}  # type: ignore[arg-type]
    kind = type(statistics)
    if any(isinstance(part, Mergeable) for part in parts.values()):
        return kind(**{name: merge_across_processes(part, group) for name, part in parts.items()})
    gathered = {name: _all_gathered(part, group) for name, part in parts.items()}
    count = torch.distributed.get_world_size(group)
    ranks = [kind(**{name: gathered[name][rank] for name in parts}) for rank in range(count)]
    return functools.reduce(lambda first, second: first.merge(second), ranks)


def _all_gathered(tensor: Tensor, group: torch.distributed.ProcessGroup | None) -> list[Tensor]:
    count = torch.distributed.get_world_size(group)
    received = [torch.empty_like(tensor) for _ in range(count)]
    torch.distributed.all_gather(received, tensor.contiguous(), group)
    return received


def concatenate_channels(parts: Sequence[S]) -> S:
    """Join statistics of groups of channels, one group after the other, into statistics of all
    channels."""
    names = [field.name for field in fields(parts[0])]  # type: ignore[arg-type]
    kind = type(parts[0])
    return kind(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
