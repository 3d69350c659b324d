"""Reads and writes parameters that are spread over processes, and averages over processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hinged.kernels.eager_calls import PLAIN_TYPES


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor whole, also if each process holds a part of it, as with FSDP2."""
    return tensor.full_tensor() if is_spread(tensor) else tensor  # type: ignore[attr-defined]


def overwrite(parameter: nn.Parameter, new: Tensor) -> None:
    """Copy a whole tensor into a parameter, of which each process may hold a part."""
    if is_spread(parameter):
        from torch.distributed.tensor import distribute_tensor  # Its import takes a second.

        mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
        new = distribute_tensor(new.to(parameter.dtype), mesh, placements)
    parameter.copy_(new)


Measurement = tuple[Tensor, int, float]
"""The sum of a tensor over forward passes, their number, and the sum of a number over them."""


def mean_over_processes(sums: Sequence[Measurement]) -> list[tuple[Tensor, float] | None]:
    """Return the means of the tensor and of the number of each measurement, over all processes.

    The processes are those of the default group of `torch.distributed`. A result is None if no
    process has counted anything. Every process must call this function with tensors of the same
    shapes.

    >>> mean_over_processes([(torch.tensor([6.0, 9.0]), 3, 6.0), (torch.tensor([0.0]), 0, 0.0)])
    [(tensor([2., 3.]), 2.0), None]
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        sums = _sum_over_processes(sums)
    return [_mean(*measurement) for measurement in sums]


def _mean(total: Tensor, count: int, number: float) -> tuple[Tensor, float] | None:
    if count == 1:
        return total, number
    return (total / count, number / count) if count else None


def _sum_over_processes(sums: Sequence[Measurement]) -> list[Measurement]:
    """Return the sums and counts over all processes, with one communication for each device."""
    found: dict[int, Measurement] = {}
    for device in dict.fromkeys(total.device for total, _, _ in sums):
        chosen = [i for i, (total, _, _) in enumerate(sums) if total.device == device]
        parts = [
            part
            for total, *numbers in (sums[i] for i in chosen)
            for part in (total.flatten(), *(total.new_full((1,), number) for number in numbers))
        ]
        flat = torch.cat(parts)
        torch.distributed.all_reduce(flat)
        ends = flat.split([sums[i][0].numel() + 2 for i in chosen])
        for i, part in zip(chosen, ends, strict=True):
            count, number = part[-2:].tolist()
            found[i] = part[:-2].view_as(sums[i][0]), int(count), number
    return [found[i] for i in range(len(sums))]


def is_spread(tensor: Tensor) -> bool:
    """Return whether each process holds a part of a tensor, as with FSDP2.

    >>> is_spread(torch.ones(2))
    False
    """
    if type(tensor) in PLAIN_TYPES:
        return False
    from torch.distributed.tensor import DTensor  # Its import takes a second.

    return isinstance(tensor, DTensor)
