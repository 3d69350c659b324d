"""Checks and reads the arguments of `PiecewiseLinear`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import check_hinges
from hinged.curve.placement.uniform_grid import check_range, uniform_grid
from hinged.curve.start_functions import StartFunction

CALL = "hinged.PiecewiseLinear"
DEFAULT_RANGE = (-3.0, 3.0)


def check_channels(channels: int | None) -> int:
    """Return the number of channels, or raise `ArgumentError` if it is not a number above 0."""
    if not errors.is_whole_number(channels, 1):
        hint = "expected a whole number, at least 1 (1 means one curve for all channels)"
        raise errors.ArgumentError(
            errors.message(f"{CALL}(channels=...)", errors.shown(channels), hint)
        )
    return int(channels)


def check_dim(dim: int, call: str) -> None:
    """Raise `ArgumentError` unless the channel axis is a whole number."""
    if not errors.is_whole_number(dim):
        hint = "expected the index of the channel axis, such as 1, or -1 for the last axis"
        raise errors.ArgumentError(errors.message(f"{call}(dim=...)", errors.shown(dim), hint))


def check_device(device: torch.device | str | int | None) -> torch.device:
    """Return the device of the parameters, or raise `ArgumentError` if there is no such device."""
    if device is None:
        return torch.get_default_device()
    try:
        if isinstance(device, torch.device | str) or type(device) is int:
            return torch.device(device)
    except RuntimeError:  # The name or the number is unknown.
        pass
    hint = "expected a device of torch, such as 'cpu' or 'cuda:0'"
    raise errors.ArgumentError(errors.message(f"{CALL}(device=...)", errors.shown(device), hint))


def check_dtype(dtype: torch.dtype | None) -> torch.dtype:
    """Return the dtype of the parameters, or raise `DtypeError` if it cannot be used."""
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        hint = "expected a floating-point dtype, such as torch.float32"
        raise errors.DtypeError(errors.message(f"{CALL}(dtype=...)", repr(dtype), hint))
    return dtype


def hinge_positions(
    hinges: int | Tensor | Sequence[float],
    range: Sequence[float],
    init: StartFunction,
    tails: str,
    dtype: torch.dtype,
) -> Tensor:
    """Return the positions of the hinges that the arguments of `PiecewiseLinear` describe."""
    if isinstance(hinges, Real):
        count: Any = hinges  # `uniform_grid` rejects a number that is not whole.
        return uniform_grid(count, range, kinks=init.kinks, tails=tails, dtype=dtype, call=CALL)
    if range is not DEFAULT_RANGE and check_range(range, CALL) != DEFAULT_RANGE:
        hint = "the positions set the range: leave range out, or pass a number of hinges"
        got = f"range={tuple(range)} together with hinge positions"
        raise errors.ArgumentError(errors.message(f"{CALL}(range=...)", got, hint))
    try:
        positions = torch.as_tensor(hinges).detach().to("cpu", dtype, copy=True)
    except (TypeError, ValueError, RuntimeError):
        hint = (
            "expected a number of hinges, or ascending positions of shape (K,) or (C, K), for K "
            "hinges and C channels"
        )
        call = f"{CALL}(hinges=...)"
        raise errors.ArgumentError(errors.message(call, repr(hinges), hint)) from None
    check_hinges(positions, f"{CALL}(hinges=...)")
    return positions.squeeze(0)  # Positions given as (1, K) are stored as (K,).


def warn_if_inexact(exact: bool, function: StartFunction, positions: Tensor) -> None:
    """Warn if a curve is not exact because a kink of its start function has no hinge."""
    if exact:
        return
    has_hinge = [(positions == kink).any(dim=-1).all() for kink in function.kinks]
    if not all(has_hinge):
        kinks = ", ".join(f"{kink:g}" for kink in function.kinks)
        got = f"positions without a hinge at every kink of {function.name} ({kinks})"
        hint = (
            "the layer starts as the closest fit, with its largest error in start_error; for an "
            "exact start, add hinges at these positions"
        )
        warnings.warn(
            errors.message(f"{CALL}(hinges=...)", got, hint),
            errors.InexactStartWarning,
            stacklevel=3,
        )
