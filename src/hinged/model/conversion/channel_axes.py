"""Finds the channel axis of a tensor, by following the operations that produced the tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.data_flow import DataFlow
from hinged.model.conversion.operations import (
    CHANNELS_SECOND,
    CONVOLUTIONS,
    FEATURES_LAST,
    LAYERS,
    MATRIX_PRODUCTS,
    NORMS_OF_LAST_AXES,
    REARRANGING,
    REDUCTIONS,
    RESIZING,
    SLICING,
    find_reduced_axes,
    plain_name,
)
from hinged.model.conversion.sliced_widths import SlicedWidths


class ChannelAxes:
    """Follows the channel axis of tensors through the operations of a model.

    For every tensor whose channels are known, the object stores an index tensor of the same shape.
    Each entry of the index tensor is the channel index of the entry at the same position. Where
    possible, the index tensor is an expanded view, which needs almost no memory.

    An operation that only rearranges entries, such as `permute`, is applied to the index tensor
    too. Its result shows where the channels are now. Other operations are recognised by name.

    An axis counts as the channel axis only if parameters determine its size. An axis of positions,
    or of a slice of parameters, can have another size later. A tensor with such an axis last has
    index 0 everywhere.

    Args:
        flow: the origins of the tensors in the same model.

    Attributes:
        widths: the numbers of channels that the model selects from tensors.
    """

    def __init__(self, flow: DataFlow) -> None:
        self.widths = SlicedWidths()
        self._flow = flow
        self._channels = WeakTensorKeyDictionary()
        self._slices = WeakTensorKeyDictionary()

    def axis_of(self, x: Tensor) -> int | None:
        """Return the channel axis of a tensor.

        Returns:
            The index of the channel axis; -1 stands for the last axis. None if the axis is not
            known, or if the channels are spread over several axes. It is not known for nested
            tensors.
        """
        if x.is_nested:
            return None
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

    def is_guess(self, x: Tensor) -> bool:
        """Return whether the size of the channel axis may not be determined by parameters.

        This is so if a matrix has been made by unknown operations, or if its last axis contains
        positions too, as after `flatten`.
        """
        channels = self._channels.get(x)
        if x.is_nested or x.dim() != 2 or channels is None:
            return not x.is_nested and x.dim() == 2
        return _axes_with_channels(channels) == [1] and _has_repeats(channels.movedim(1, 0))

    def copy_axis(self, old: Tensor, new: Tensor) -> None:
        """Give the tensor `new` the channel axis of the tensor `old`, which has the same shape."""
        self.widths.follow("", [old], [new])
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
        if not args and "input" in kwargs:
            kwargs = dict(kwargs)
            args = (kwargs.pop("input"),)
        inputs, outputs = tensors_in((args, kwargs)), tensors_in(result)
        if any(x.is_nested for x in (*inputs, *outputs)):
            return
        self.widths.follow(name, inputs, outputs)
        if name in REARRANGING:
            self._rearrange(function, args, kwargs, result)
            self._note_slice(name, args, outputs)
        elif name == "stack":
            self._stack(result, *args, **kwargs)
        elif name in LAYERS and any(x in self._slices for x in inputs):
            self._set_no_channels(outputs)
        elif name in MATRIX_PRODUCTS:
            self._multiply(name, inputs, kwargs.get("value"), result)
        elif name == "einsum":
            self._multiply_by_letters(args[0] if args else None, inputs, result)
        elif name in REDUCTIONS and (axes := find_reduced_axes(name, args, kwargs)):
            self._reduce(inputs[0], axes, outputs)
        else:
            for out in outputs:
                self._set_new_axis(name, args, kwargs, inputs, out)

    def _set_new_axis(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        inputs: list[Tensor],
        out: Tensor,
    ) -> None:
        axis = _new_channel_axis(name, args, kwargs, out)
        has_constants = any(not self._flow.origin_of(x).depends_on_data for x in inputs)
        if axis is not None and (has_constants or name in NORMS_OF_LAST_AXES):
            self._set_axis(out, axis)
        elif name not in FEATURES_LAST:
            self._inherit_axis(out, inputs, may_resize=name in RESIZING)
        else:
            self._set_no_channels([out])

    def _set_no_channels(self, tensors: list[Tensor]) -> None:
        """Record that the sizes of all axes of the tensors can vary."""
        for x in tensors:
            zero = torch.zeros((), dtype=torch.int32, device=x.device)
            self._channels[x] = zero.expand(x.shape)

    def _multiply(self, name: str, inputs: list[Tensor], value: Any, out: Tensor) -> None:
        """Record the channels of a matrix product `a @ b`, or of an attention with values `b`."""
        a, b = inputs[-2:]
        if name == "scaled_dot_product_attention":
            a, b = inputs[0], inputs[2] if value is None else value
        origin = self._flow.origin_of(a)
        if not self._flow.origin_of(b).depends_on_data and b.dim() > 1:
            self._set_axis(out, -1)
        elif not origin.depends_on_data and origin.parameters:
            self._set_axis(out, -2 if b.dim() > 1 else -1)
        elif not self._has_features_last(b):
            self._set_no_channels([out])
        elif out.dim() == 4:
            self._set_heads(out)
        else:
            self._set_axis(out, -1)

    def _has_features_last(self, x: Tensor) -> bool:
        channels = self._channels.get(x)
        axes = [] if channels is None else _axes_with_channels(channels)
        return x.dim() - 1 in axes and x.dim() - 2 not in axes

    def _multiply_by_letters(self, equation: Any, inputs: list[Tensor], out: Tensor) -> None:
        """Record the channels of `einsum`: the axis of the result that only parameters have.

        If all axes of the result are axes of data, the channels are those of the data.
        """
        subscripts, _, result = str(equation).replace(" ", "").partition("->")
        terms = subscripts.split(",")
        if not isinstance(equation, str) or "." in equation or len(terms) != len(inputs):
            self._set_no_channels([out])
            return
        pairs = list(zip(terms, inputs, strict=True))
        data = [(term, x) for term, x in pairs if self._flow.origin_of(x).depends_on_data]
        of_data = set("".join(term for term, _ in data))
        letters = [each for each in result if each in "".join(terms) and each not in of_data]
        if not letters:
            kept = [term[axis] for term, x in data if (axis := self.axis_of(x)) is not None]
            letters = [each for each in kept if each in result]
        if len(letters) == 1:
            self._set_axis(out, result.index(letters[0]))
        else:
            self._set_no_channels([out])

    def _reduce(self, x: Tensor, axes: Sequence[int], outputs: list[Tensor]) -> None:
        """Record the channels of a sum, mean or maximum of `x` over some axes."""
        channels = self._channels.get(x)
        if channels is None:
            return
        reduced = {axis % x.dim() for axis in axes} if x.dim() else set()
        if reduced & set(_axes_with_channels(channels)):
            self._set_no_channels(outputs)
            return
        for axis in reduced:
            channels = channels.narrow(axis, 0, 1)
        for out in outputs:
            kept = channels if out.dim() == x.dim() else channels.squeeze(tuple(reduced))
            self._channels[out] = kept.expand(out.shape)

    def _note_slice(self, name: str, args: tuple[Any, ...], outputs: list[Tensor]) -> None:
        """Record that tensors are slices of another tensor, whose size the model can change."""
        x = args[0]
        if not isinstance(x, Tensor):
            return
        if self._flow.origin_of(x).depends_on_data:
            for out in outputs if name in SLICING else ():
                if (axis := self.axis_of(out)) is not None:
                    self.widths.note_slice(x, out, out.shape[axis])
            return
        index = args[1] if name == "getitem" else None
        parts = index if isinstance(index, tuple) else (index,)
        is_slice = any(isinstance(part, slice) and part != slice(None) for part in parts)
        if is_slice or name in ("narrow", "index_select") or x in self._slices:
            for out in outputs:
                self._slices[out] = True

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
    if name in CHANNELS_SECOND and out.dim() > 1:
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
    if channels.numel() == 0:
        return False
    indices = channels.reshape(len(channels), -1)[:, 0]
    return len(indices.unique()) < len(indices)
