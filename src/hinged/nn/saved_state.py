"""Checks saved states of a `PiecewiseLinear` layer, and puts new numbers into its tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import TAILS, Curve, check_hinges


def encode_tails(tails: str) -> Tensor:
    """Return the kind of tails as a number in a tensor, because safetensors stores only tensors."""
    return torch.tensor(TAILS.index(tails), dtype=torch.uint8)


def decode_tails(state: Tensor) -> str:
    """Return the kind of tails (`"linear"`, `"constant"` or `"free"`) from the tensor of
    `encode_tails`."""
    return TAILS[int(state)]


def describe_mismatch(
    call: str, state: dict[str, Any], shape: tuple[int, int], dtype: torch.dtype, tails: str
) -> str | None:
    """Return an error message if a saved state does not fit a layer, or None if it fits.

    Args:
        call: the call that the user made, for the message.
        state: the saved tensors by their names in the layer. A missing tensor is not a mismatch.
        shape: `(C, K)`, the numbers of channels and hinges of the layer.
        dtype: the dtype of the layer's hinges. The saved hinges must stay distinct in this dtype.
        tails: the layer's tails, `"linear"`, `"constant"` or `"free"`.
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
    hint = (
        f"this layer has {shape}, which is (channels, hinges): create it with the channels and "
        "hinges of the saved layer"
    )
    return errors.message(call, f"values of shape {tuple(values.shape)}", hint)


def _hinges_mismatch(
    call: str, hinges: Tensor | None, shape: tuple[int, int], dtype: torch.dtype
) -> str | None:
    if hinges is None:
        return None
    if hinges.shape not in (shape[1:], shape):
        hint = (
            f"this layer takes {shape[1:]} or {shape}, which is (hinges,) or (channels, hinges): "
            "create it with the channels and hinges of the saved layer"
        )
        return errors.message(call, f"hinges of shape {tuple(hinges.shape)}", hint)
    if hinges.is_meta:
        return None
    try:
        check_hinges(hinges.to(dtype), call)
    except errors.ArgumentError as error:
        return str(error)
    return None


def _tails_mismatch(call: str, code: Tensor | None, tails: str) -> str | None:
    if code is not None and not _is_code(code):
        hint = f"expected a number from 0 to {len(TAILS) - 1} for the kind of tails: save it again"
        return errors.message(call, f"a state with _extra_state={errors.shown(code)}", hint)
    saved = tails if code is None else decode_tails(code)
    if (saved == "free") == (tails == "free"):
        return None
    hint = f"this layer has tails={tails!r}: create it with the tails of the saved layer"
    return errors.message(call, f"tails={saved!r}", hint)


def _is_code(code: object) -> bool:
    """Whether an object is a tensor that `encode_tails` may have returned."""
    if not isinstance(code, Tensor) or code.numel() != 1 or code.is_meta:
        return False
    if code.layout != torch.strided or code.is_complex() or code.is_quantized:
        return False
    return code.item() in range(len(TAILS))


def _slopes_mismatch(call: str, slopes: Tensor | None, channels: int) -> str | None:
    if slopes is None or slopes.shape == (channels, 2):
        return None
    hint = (
        f"this layer needs ({channels}, 2), two slopes for each channel: create it with the "
        "channels of the saved layer"
    )
    return errors.message(call, f"tail_slopes of shape {tuple(slopes.shape)}", hint)


def one_row(curve: Curve) -> Curve:
    """Return a copy of the curves on the CPU, with one row if all channels have the same curve."""
    hinges, values, slopes = curve.hinges, curve.values, curve.tail_slopes
    tensors = [tensor for tensor in (values, slopes) if tensor is not None]
    if hinges.dim() == 1 and all(bool((tensor == tensor[:1]).all()) for tensor in tensors):
        values, slopes = values[:1], None if slopes is None else slopes[:1]
    copied = [
        None if tensor is None else tensor.detach().to("cpu", copy=True)
        for tensor in (hinges, values, slopes)
    ]
    return Curve(copied[0], copied[1], curve.tails, copied[2])  # type: ignore[arg-type]


def has_shape_of(layer: nn.Module, state: dict[str, Tensor]) -> bool:
    """Return whether the tensors of a layer have the names and shapes of those in a saved state.

    The hinges may have the shape `(K,)` in one and `(C, K)` in the other.
    """
    own = {name: tensor for name, tensor in layer.state_dict().items() if name != "hinges"}
    saved = {name: tensor for name, tensor in state.items() if name != "hinges"}
    return own.keys() == saved.keys() and all(own[name].shape == saved[name].shape for name in own)


def curve_in(state: dict[str, Tensor], call: str) -> Curve:
    """Return the curve in a saved state.

    `call` is the call that the user made, for the error message.

    Raises:
        ArgumentError: if the state has no curve.
    """
    try:
        tails = decode_tails(state["_extra_state"])
        return Curve(state["hinges"], state["values"], tails, state.get("tail_slopes"))
    except (KeyError, IndexError):
        got = f"a saved layer with the tensors {', '.join(sorted(state)) or 'none'}"
        hint = "expected the hinges, values and tails of curves"
        raise errors.ArgumentError(errors.message(call, got, hint)) from None


class ParametrizationDict(nn.ModuleDict):
    """A ModuleDict of parametrisations that accepts the key `values`.

    `torch.nn.utils.parametrize` stores the parametrisations of a layer in a ModuleDict, with the
    names of the parameters as keys. A ModuleDict rejects the names of its methods as keys, and one
    of its methods is `values`.
    """

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Add a parametrisation under any name."""
        self._modules[name] = module  # type: ignore[assignment]


def overwrite_or_replace(parameter: nn.Parameter, new: Tensor) -> nn.Parameter:
    """Copy `new` into the parameter and return the parameter.

    If the shapes differ, the result is a new parameter with the contents of `new`.
    """
    if parameter.shape != new.shape:
        return nn.Parameter(new.detach().to(parameter, copy=True), parameter.requires_grad)
    with torch.no_grad():
        parameter.copy_(new)
    return parameter
