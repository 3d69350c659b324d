"""Summaries of a stream of numbers, put together over batches, channels and processes."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor

S = TypeVar("S", bound="Summary")


class Summary(ABC):
    """What is known of the numbers seen so far; two of them merge into that of both."""

    @abstractmethod
    def merge(self: S, other: S) -> S:
        """Return the summary of what both have seen."""


def across_processes(summary: S, group: torch.distributed.ProcessGroup | None = None) -> S:
    """Return the summary of what all processes of a group have seen, the same bits in each.

    Every process must call it, with a summary of the same shapes. Without `torch.distributed`
    being initialised there is one process, and the summary is returned as it is.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return summary
    parts = {field.name: getattr(summary, field.name) for field in fields(summary)}  # type: ignore[arg-type]
    if any(isinstance(part, Summary) for part in parts.values()):
        return type(summary)(**{name: across_processes(parts[name], group) for name in parts})
    gathered = {name: _gathered(part, group) for name, part in parts.items()}
    count = torch.distributed.get_world_size(group)
    ranks = [type(summary)(**{name: gathered[name][r] for name in parts}) for r in range(count)]
    return functools.reduce(lambda first, second: first.merge(second), ranks)


def _gathered(tensor: Tensor, group: torch.distributed.ProcessGroup | None) -> list[Tensor]:
    count = torch.distributed.get_world_size(group)
    received = [torch.empty_like(tensor) for _ in range(count)]
    torch.distributed.all_gather(received, tensor.contiguous(), group)
    return received


def joined(parts: Sequence[S]) -> S:
    """Return the summary of all channels from those of some of them, in order."""
    first = parts[0]
    names = [field.name for field in fields(first)]  # type: ignore[arg-type]
    return type(first)(**{n: torch.cat([getattr(part, n) for part in parts]) for n in names})
