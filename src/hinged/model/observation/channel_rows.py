"""Arranges a batch as one row of numbers for each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors

CACHED_NUMBERS = 2**18
"""How many numbers are processed together on a CPU. Their intermediate results fit in its cache."""


def channel_rows(x: Tensor, channels: int, dim: int, call: str) -> Tensor:
    """Return a batch as a matrix with one row for each channel.

    The matrix has shape `(C, M)`, where `M` is the number of elements of one channel.

    Args:
        x: the batch. Axis `dim` has `channels` entries. With `channels=1`, any shape is allowed.
        channels: the number of channels `C`. With 1, all numbers of the batch form one row.
        dim: the channel axis of `x`.
        call: the name of the public function for error messages.

    Raises:
        ArgumentError: if axis `dim` of `x` does not have `channels` entries.

    >>> channel_rows(torch.tensor([[1, 2], [3, 4], [5, 6]]), 2, 1, "call")
    tensor([[1, 3, 5],
            [2, 4, 6]])
    """
    if channels == 1:
        return x.detach().reshape(1, -1)
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"a tensor of shape {tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on axis {dim}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return x.detach().movedim(dim, 0).reshape(channels, -1)


def split_rows(rows: Tensor) -> list[Tensor]:
    """Split a matrix into groups of rows that fit in the cache of a CPU.

    A group has about `CACHED_NUMBERS` numbers, and at least one row. This halves the time for large
    inputs with many channels on a CPU. On other devices, all rows are one group.
    """
    together = CACHED_NUMBERS // max(1, rows.shape[1]) if rows.is_cpu else len(rows)
    return [part.contiguous() for part in rows.split(max(1, together))]


def replace_unless(rows: Tensor, keep: Tensor, value: float) -> Tensor:
    """Return `rows` with `value` in place of each number for which `keep` is False.

    `rows` and the Boolean tensor `keep` have the same shape. If `keep` is True everywhere and
    `rows` is on a CPU, `rows` is returned without a copy, because the check is faster than a copy.
    """
    return rows if rows.is_cpu and keep.all() else rows.masked_fill(~keep, value)


def finite_extremes(rows: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest finite number of each row, two tensors `(C,)`, float64.

    For a row without finite numbers, the smallest is infinity and the largest is minus infinity.

    Args:
        rows: the numbers, shape `(C, M)`.
        finite: whether each number is finite, shape `(C, M)`.
    """
    if rows.shape[1] == 0:
        nothing = torch.full(rows.shape[:1], torch.inf, dtype=torch.float64, device=rows.device)
        return nothing, -nothing
    low = replace_unless(rows, finite, torch.inf).amin(dim=1)
    high = replace_unless(rows, finite, -torch.inf).amax(dim=1)
    return low.double(), high.double()


def check_same_shape(call: str, first: Tensor, second: Tensor) -> None:
    """Raise `ArgumentError` unless two tensors of counts have the same shape."""
    if first.shape != second.shape:
        got = f"counts of shapes {tuple(first.shape)} and {tuple(second.shape)}"
        hint = "expected statistics of the same layer, with equal numbers of channels and bins"
        raise errors.ArgumentError(errors.message(call, got, hint))
