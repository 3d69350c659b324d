"""Which axis of a tensor holds its channels, told from what made the tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.activation_calls import name_of

# How many axes lie behind the channels in what these return.
_CONVOLUTIONS = {f"conv{kind}{rank}d": rank for kind in ("", "_transpose") for rank in (1, 2, 3)}
_FEATURES_LAST = {
    "linear",
    "bilinear",
    "embedding",
    "embedding_bag",
    "matmul",
    "__matmul__",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
}
_PRODUCTS = {"matmul", "__matmul__", "scaled_dot_product_attention"}
_CHANNELS_SECOND = {"batch_norm", "instance_norm", "group_norm"}
_NORMS_OF_LAST_AXES = {"layer_norm", "rms_norm"}
# These rearrange entries and compute nothing.
MOVES = {
    "permute",
    "transpose",
    "transpose_",
    "swapaxes",
    "swapdims",
    "movedim",
    "moveaxis",
    "t",
    "T",
    "mT",
    "H",
    "mH",
    "flatten",
    "ravel",
    "reshape",
    "view",
    "unflatten",
    "squeeze",
    "squeeze_",
    "unsqueeze",
    "unsqueeze_",
    "expand",
    "expand_as",
    "view_as",
    "reshape_as",
    "__getitem__",
    "select",
    "narrow",
    "index_select",
    "chunk",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "roll",
    "flip",
}
# Different sizes along the channels, but the same axis.
_RESIZING = {"cat", "concat", "concatenate", "pixel_shuffle", "pixel_unshuffle", "pad"}


class Axes:
    """Follows the channel axis through a model's operations.

    Every tensor whose channels are known has a tensor of coordinates of the same shape: at each
    place, which channel it is. It is expanded, without memory of its own, wherever it can be. What
    only rearranges entries is applied to the coordinates as well, so that the axis is right
    whatever the sizes; what computes is known by its name.
    """

    def __init__(self) -> None:
        self._coordinates = WeakTensorKeyDictionary()

    def of(self, x: Tensor) -> int | None:
        """Return the channel axis of a tensor, -1 where it is the last, None where it is unknown
        or the channels are spread over several axes."""
        coordinates = self._coordinates.get(x)
        if coordinates is None:
            return -1 if x.dim() == 2 else None  # Rows can have nothing else but features.
        varying = _varying(coordinates)
        if len(varying) != 1:
            return None
        rows = x.dim() == 2 and varying == [1]
        if not rows and _repeat(coordinates.movedim(varying[0], 0)):
            return None  # Samples or places lie on that axis as well.
        return -1 if varying[0] == x.dim() - 1 else varying[0]

    def alias(self, old: Tensor, new: Tensor) -> None:
        """Say that a tensor's channels lie as another's of the same shape."""
        if old in self._coordinates:
            self._coordinates[new] = self._coordinates[old]

    def follow(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        """Note where the channels of a function's result lie."""
        name = name_of(function)
        if name in MOVES:
            self._move(function, args, kwargs, result)
            return
        if name == "stack":
            self._stack(result, *args, **kwargs)
            return
        if name in _PRODUCTS and all(x.dim() == 4 for x in tensors_in((args, kwargs))):
            self._set_heads(result)
            return
        for out in tensors_in(result):
            axis = _made(name, args, kwargs, out)
            if axis is not None:
                self._set(out, axis)
            elif name not in _FEATURES_LAST:
                self._inherit(out, tensors_in((args, kwargs)), name in _RESIZING)

    def _set(self, x: Tensor, axis: int) -> None:
        axis = axis % x.dim()
        shape = [1] * x.dim()
        shape[axis] = x.shape[axis]
        places = torch.arange(x.shape[axis], dtype=torch.int32, device=x.device).view(shape)
        self._coordinates[x] = places.expand(x.shape)

    def _set_heads(self, x: Tensor) -> None:
        """Note the channels of a product of many-headed tensors `(N, heads, L, features)`."""
        _, heads, _, features = x.shape
        places = torch.arange(heads * features, dtype=torch.int32, device=x.device)
        self._coordinates[x] = places.view(1, heads, 1, features).expand(x.shape)

    def _inherit(self, out: Tensor, inputs: list[Tensor], resizing: bool) -> None:
        for x in inputs:
            known = self._coordinates.get(x)
            if known is None or x.dim() != out.dim():
                continue
            if x.shape == out.shape:
                self._coordinates[out] = known
                return
            varying = _varying(known)
            if len(varying) == 1 and (resizing or x.shape[varying[0]] == out.shape[varying[0]]):
                self._set(out, varying[0])
                return

    def _stack(self, out: Tensor, tensors: Any, dim: int = 0, **_: Any) -> None:
        known = self._coordinates.get(tensors[0])
        if known is not None:
            self._coordinates[out] = known.unsqueeze(dim).expand(out.shape)

    def _move(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        known = self._coordinates.get(args[0]) if isinstance(args[0], Tensor) else None
        if known is None:
            return
        try:
            moved = function(known, *args[1:], **kwargs)
        except (RuntimeError, IndexError, TypeError):
            # A view of a form that the expanded coordinates cannot take, or an index elsewhere.
            try:
                moved = function(known.contiguous(), *args[1:], **kwargs)
            except (RuntimeError, IndexError, TypeError):
                return
        for out, coordinates in zip(tensors_in(result), tensors_in(moved), strict=True):
            self._coordinates[out] = coordinates


def _made(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> int | None:
    """Return the axis of the channels in what makes channels of its own."""
    if out.dim() == 0:
        return None
    if name in _CONVOLUTIONS:
        return out.dim() - 1 - _CONVOLUTIONS[name]
    if name in _FEATURES_LAST:
        return -1
    if name in _CHANNELS_SECOND:
        return 1
    if name in _NORMS_OF_LAST_AXES:
        normalised = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
        return -1 if len(normalised) == 1 else None
    return None


def _varying(coordinates: Tensor) -> list[int]:
    """Return the axes along which coordinates differ."""
    free = [axis for axis in range(coordinates.dim()) if coordinates.shape[axis] > 1]
    axes = [axis for axis in free if coordinates.stride(axis) != 0]
    if len(axes) <= 1:
        return axes
    return [axis for axis in axes if bool((coordinates != coordinates.narrow(axis, 0, 1)).any())]


def _repeat(coordinates: Tensor) -> bool:
    """Whether a channel comes more than once along the first axis, which is the channels'."""
    channels = coordinates.reshape(len(coordinates), -1)[:, 0]
    return len(channels.unique()) < len(channels)


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for part in value for tensor in tensors_in(part)]
