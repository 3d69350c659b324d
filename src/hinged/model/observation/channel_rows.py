"""Batches as rows of numbers, one row for each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors

CACHED_NUMBERS = 2**18
"""How many numbers are processed together on a CPU, so that intermediate results stay in cache."""


def channel_rows(x: Tensor, channels: int, dim: int, call: str) -> Tensor:
    """Return the numbers of a batch as `(C, M)`, a row for each channel of axis `dim`.

    With `channels=1` all numbers are one row, and `x` may have any shape.

    Raises:
        ArgumentError: axis `dim` of `x` does not have `channels` entries; the message names `call`.

    >>> channel_rows(torch.tensor([[1, 2], [3, 4], [5, 6]]), 2, 1, "call")
    tensor([[1, 3, 5],
            [2, 4, 6]])
    """
    if channels == 1:
        return x.detach().reshape(1, -1)
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"{tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on that axis"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return x.detach().movedim(dim, 0).reshape(channels, -1)


def split_rows(rows: Tensor) -> list[Tensor]:
    """Return the rows in parts of about `CACHED_NUMBERS` numbers, each of at least one row.

    Large inputs of many channels take half the time on a CPU. Elsewhere all rows are one part.
    """
    together = CACHED_NUMBERS // max(1, rows.shape[1]) if rows.is_cpu else len(rows)
    return [part.contiguous() for part in rows.split(max(1, together))]


def replace_unless(rows: Tensor, keep: Tensor, value: float) -> Tensor:
    """Return the rows with `value` wherever `keep` is False.

    On a CPU, rows that keep everything are returned without a copy: to check is faster than to
    fill.
    """
    return rows if rows.is_cpu and keep.all() else rows.masked_fill(~keep, value)


def finite_extremes(rows: Tensor, finite: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest finite number of each row, `(C,)`, float64.

    A row without finite numbers gives infinity and minus infinity.
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
        raise errors.ArgumentError(errors.message(call, got, "both must be of one layer"))
