"""Checks whether a saved state fits a layer of curves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import TAILS, check_hinges


def encode_tails(tails: str) -> Tensor:
    """Return the tails as a number in a tensor, because safetensors stores only tensors."""
    return torch.tensor(TAILS.index(tails), dtype=torch.uint8)


def decode_tails(state: Tensor) -> str:
    """Return the tails that `encode_tails` encoded."""
    return TAILS[int(state)]


def describe_mismatch(
    call: str, state: dict[str, Any], shape: tuple[int, int], dtype: torch.dtype, tails: str
) -> str | None:
    """Return an error message if a state does not fit a layer, or None if it fits.

    Args:
        call: the public call, for the message.
        state: the saved tensors by their names in the layer; missing tensors are not an error here.
        shape: channels and hinges `(C, K)` of the layer.
        dtype: the dtype of the layer's hinges; the saved hinges must stay distinct in it.
        tails: the tails of the layer.
    """
    return (
        _values_mismatch(call, state.get("values"), shape)
        or _hinges_mismatch(call, state.get("hinges"), shape, dtype)
        or _tails_mismatch(call, state.get("_extra_state"), tails)
        or _slopes_mismatch(call, state.get("tail_slopes"), shape[0])
    )


def _values_mismatch(call: str, values: Tensor | None, shape: tuple[int, int]) -> str | None:
    if values is None or values.shape == shape:
        return None
    hint = f"this layer has {shape} as (channels, hinges)"
    return errors.message(call, f"values of shape {tuple(values.shape)}", hint)


def _hinges_mismatch(
    call: str, hinges: Tensor | None, shape: tuple[int, int], dtype: torch.dtype
) -> str | None:
    if hinges is None:
        return None
    if hinges.shape not in (shape[1:], shape):
        hint = f"this layer takes {shape[1:]} or {shape}"
        return errors.message(call, f"hinges of shape {tuple(hinges.shape)}", hint)
    if hinges.is_meta:
        return None
    try:
        check_hinges(hinges.to(dtype), call)
    except errors.ArgumentError as error:
        return str(error)
    return None


def _tails_mismatch(call: str, code: Tensor | None, tails: str) -> str | None:
    if code is not None and not (isinstance(code, Tensor) and int(code) < len(TAILS)):
        return errors.message(call, f"tails of code {code!r}", f"expected 0 to {len(TAILS) - 1}")
    saved = tails if code is None else decode_tails(code)
    if (saved == "free") == (tails == "free"):
        return None
    hint = f"this layer has tails={tails!r}: build it with the same tails"
    return errors.message(call, f"tails={saved!r}", hint)


def _slopes_mismatch(call: str, slopes: Tensor | None, channels: int) -> str | None:
    if slopes is None or slopes.shape == (channels, 2):
        return None
    hint = f"this layer has ({channels}, 2)"
    return errors.message(call, f"tail_slopes of shape {tuple(slopes.shape)}", hint)


class ParametrizationDict(nn.ModuleDict):
    """A ModuleDict of parametrisations that accepts the key `values`.

    `torch.nn.utils.parametrize` stores parametrisations in a ModuleDict under the names of the
    parameters. A ModuleDict rejects the names of its own methods, and `values` is one of them.
    """

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a parametrisation under any name."""
        self._modules[name] = module  # type: ignore[assignment]
