"""What a layer of curves takes from a saved state, and what it refuses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import TAILS, check_hinges


def encode_tails(tails: str) -> Tensor:
    """Return the tails as a number: a tensor, so that safetensors can hold the state."""
    return torch.tensor(TAILS.index(tails), dtype=torch.uint8)


def decode_tails(state: Tensor) -> str:
    """Return the tails that `encode_tails` was given."""
    return TAILS[int(state)]


def describe_mismatch(
    call: str, state: dict[str, Any], shape: tuple[int, int], dtype: torch.dtype, tails: str
) -> str | None:
    """Return in a sentence why a state does not fit a layer, or None where it does.

    Args:
        call: how the sentence names the call.
        state: the saved tensors by their names in the layer; what is missing is not judged.
        shape: channels and hinges `(C, K)` of the layer.
        dtype: the dtype of the layer's hinges, in which the saved ones must stay apart.
        tails: the tails of the layer.
    """
    return (
        _refused_values(call, state.get("values"), shape)
        or _refused_hinges(call, state.get("hinges"), shape, dtype)
        or _refused_tails(call, state.get("_extra_state"), tails)
        or _refused_slopes(call, state.get("tail_slopes"), shape[0])
    )


def _refused_values(call: str, values: Tensor | None, shape: tuple[int, int]) -> str | None:
    if values is None or values.shape == shape:
        return None
    hint = f"this layer has {shape} as (channels, hinges)"
    return errors.message(call, f"values of shape {tuple(values.shape)}", hint)


def _refused_hinges(
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
    except errors.ArgumentError as unusable:
        return str(unusable)
    return None


def _refused_tails(call: str, code: Tensor | None, tails: str) -> str | None:
    if code is not None and not (isinstance(code, Tensor) and int(code) < len(TAILS)):
        return errors.message(call, f"tails of code {code!r}", f"expected 0 to {len(TAILS) - 1}")
    saved = tails if code is None else decode_tails(code)
    if (saved == "free") == (tails == "free"):
        return None
    hint = f"this layer has tails={tails!r}: build it with the same tails"
    return errors.message(call, f"tails={saved!r}", hint)


def _refused_slopes(call: str, slopes: Tensor | None, channels: int) -> str | None:
    if slopes is None or slopes.shape == (channels, 2):
        return None
    hint = f"this layer has ({channels}, 2)"
    return errors.message(call, f"tail_slopes of shape {tuple(slopes.shape)}", hint)


class ParametrizationDict(nn.ModuleDict):
    """The parametrisations of a layer, one of which may be of `values`.

    `torch.nn.utils.parametrize` keeps them in a ModuleDict by the parameter's name, and a
    ModuleDict refuses the names of its own methods, of which `values` is one.
    """

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a parametrisation under any name."""
        self._modules[name] = module  # type: ignore[assignment]
