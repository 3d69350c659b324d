"""Finds the channel axis of a tensor, by following the operations that produced the tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.operations import (
    CHANNELS_SECOND,
    CONVOLUTIONS,
    FEATURES_LAST,
    NORMS_OF_LAST_AXES,
    REARRANGING,
    RESIZING,
    plain_name,
)


class ChannelAxes:
    """Follows the channel axis of tensors through the operations of a model.

    For every tensor whose channels are known, the object stores an index tensor of the same shape.
    Each entry of the index tensor is the channel index of the entry at the same position. Where
    possible, the index tensor is an expanded view, which needs almost no memory.

    An operation that only rearranges entries, such as `permute`, is applied to the index tensor
    too. Its result shows where the channels are now. Other operations are recognised by name.
    """

    def __init__(self) -> None:
        self._channels = WeakTensorKeyDictionary()

    def axis_of(self, x: Tensor) -> int | None:
        """Return the channel axis of a tensor.

        Returns:
            The index of the channel axis; -1 stands for the last axis. None if the axis is not
            known, or if the channels are spread over several axes.
        """
        channels = self._channels.get(x)
        if channels is None:
            return -1 if x.dim() == 2 else None  # A matrix has its features on the last axis.
        axes = _axes_with_channels(channels)
        if len(axes) != 1:
            return None
        is_features = x.dim() == 2 and axes == [1]
        if not is_features and _has_repeats(channels.movedim(axes[0], 0)):
            return None  # The axis contains samples or positions too.
        return -1 if axes[0] == x.dim() - 1 else axes[0]

    def copy_axis(self, old: Tensor, new: Tensor) -> None:
        """Give the tensor `new` the channel axis of the tensor `old`, which has the same shape."""
        if old in self._channels:
            self._channels[new] = self._channels[old]

    def follow(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        """Record the channel axis of every tensor that a torch function has returned.

        Args:
            function: the torch function that was called.
            args: the positional arguments of the call.
            kwargs: the keyword arguments of the call.
            result: what the function returned.
        """
        name = plain_name(name_of(function))
        if name in REARRANGING:
            self._rearrange(function, args, kwargs, result)
            return
        if name == "stack":
            self._stack(result, *args, **kwargs)
            return
        inputs = tensors_in((args, kwargs))
        if name in ("matmul", "scaled_dot_product_attention") and all(x.dim() == 4 for x in inputs):
            self._set_heads(result)
            return
        for out in tensors_in(result):
            axis = _new_channel_axis(name, args, kwargs, out)
            if axis is not None:
                self._set_axis(out, axis)
            elif name not in FEATURES_LAST:
                self._inherit_axis(out, inputs, may_resize=name in RESIZING)

    def _set_axis(self, x: Tensor, axis: int) -> None:
        shape = [1] * x.dim()
        shape[axis] = x.shape[axis]
        indices = torch.arange(x.shape[axis], dtype=torch.int32, device=x.device)
        self._channels[x] = indices.view(shape).expand(x.shape)

    def _set_heads(self, x: Tensor) -> None:
        """Record the channels of an attention output `x`, shape `(N, heads, L, features)`.

        Every pair of a head and a feature is one channel.
        """
        _, heads, _, features = x.shape
        indices = torch.arange(heads * features, dtype=torch.int32, device=x.device)
        self._channels[x] = indices.view(1, heads, 1, features).expand(x.shape)

    def _inherit_axis(self, out: Tensor, inputs: list[Tensor], *, may_resize: bool) -> None:
        for x in inputs:
            channels = self._channels.get(x)
            if channels is None or x.dim() != out.dim():
                continue
            if x.shape == out.shape:
                self._channels[out] = channels
                return
            axes = _axes_with_channels(channels)
            if len(axes) == 1 and (may_resize or x.shape[axes[0]] == out.shape[axes[0]]):
                self._set_axis(out, axes[0])
                return

    def _stack(self, out: Tensor, tensors: Any, dim: int = 0, **_: Any) -> None:
        channels = self._channels.get(tensors[0])
        if channels is not None:
            self._channels[out] = channels.unsqueeze(dim).expand(out.shape)

    def _rearrange(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        channels = self._channels.get(args[0]) if isinstance(args[0], Tensor) else None
        if channels is None:
            return
        try:
            rearranged = function(channels[...], *args[1:], **kwargs)
        except (RuntimeError, IndexError, TypeError):
            # Not every operation works on an expanded tensor. An index may be on another device.
            try:
                rearranged = function(channels.contiguous(), *args[1:], **kwargs)
            except (RuntimeError, IndexError, TypeError):
                return
        for out, out_channels in zip(tensors_in(result), tensors_in(rearranged), strict=True):
            self._channels[out] = out_channels


def _new_channel_axis(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> int | None:
    """Return the channel axis of an output, if the name of the torch function determines it.

    The output of `conv2d`, for example, always has the same channel axis. The result is None for
    functions whose channel axis depends on their inputs.
    """
    if out.dim() == 0:
        return None
    if name in CONVOLUTIONS:
        return out.dim() - 1 - CONVOLUTIONS[name]
    if name in FEATURES_LAST:
        return -1
    if name in CHANNELS_SECOND:
        return 1
    if name in NORMS_OF_LAST_AXES:
        normalised = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
        return -1 if len(normalised) == 1 else None
    return None


def _axes_with_channels(channels: Tensor) -> list[int]:
    """Return the axes of an index tensor along which the channel index changes."""
    axes = [axis for axis in range(channels.dim()) if channels.shape[axis] > 1]
    axes = [axis for axis in axes if channels.stride(axis) != 0]
    if len(axes) <= 1:
        return axes
    return [axis for axis in axes if bool((channels != channels.narrow(axis, 0, 1)).any())]


def _has_repeats(channels: Tensor) -> bool:
    """Return whether a channel index appears more than once along the first axis of `channels`."""
    indices = channels.reshape(len(channels), -1)[:, 0]
    return len(indices.unique()) < len(indices)


def tensors_in(value: Any) -> list[Tensor]:
    """Return all tensors in a nested structure of lists, tuples, dictionaries and dataclasses."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for part in value for tensor in tensors_in(part)]
