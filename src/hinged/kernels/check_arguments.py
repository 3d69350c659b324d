"""Checks of the tensors of a call, before a kernel reads their memory."""

from __future__ import annotations

from torch import Tensor

from hinged import errors
from hinged.curve.curve import check_shapes
from hinged.curve.evaluate import check_input


def check_arguments(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    dim: int,
    tails: str,
    call: str,
) -> None:
    """Raise an error unless the tensors of a call have matching shapes and are on one device.

    A kernel reads as many numbers as the shapes say. So each call of a kernel needs this check,
    also where a layer has checked its tensors before: they may have been replaced. The check reads
    no numbers, and takes about two microseconds.

    Args:
        x: inputs; axis `dim` has `C` entries, or any number if `C` is 1.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: positions, shape `(K,)` or `(C, K)`.
        tail_slopes: slopes of free tails, shape `(C, 2)`. None for other tails.
        dim: the channel axis of `x`.
        tails: `"linear"`, `"constant"` or `"free"`.
        call: the call that the user made, for error messages.

    Raises:
        ArgumentError: if a shape does not match, or if the tensors are on several devices.
        DtypeError: if `x`, the values or the hinges are not floating point.
    """
    check_shapes(call, values, hinges, tails, tail_slopes)
    check_input(x, values.shape[0], dim, call)
    device = x.device
    slopes_there = tail_slopes is None or tail_slopes.device == device
    if values.device == device and hinges.device == device and slopes_there:
        return
    devices = {"values": values.device, "hinges": hinges.device}
    if tail_slopes is not None:
        devices["tail_slopes"] = tail_slopes.device
    there = ", ".join(f"{name} on {where}" for name, where in devices.items())
    hint = "expected all on one device: move the model, or the inputs, with .to(device)"
    raise errors.ArgumentError(errors.message(f"{call}(x)", f"x on {device}, {there}", hint))


def check_gradient(grad_y: Tensor, x: Tensor, call: str) -> None:
    """Raise `ArgumentError` unless the gradient of the outputs fits the inputs.

    Args:
        grad_y: gradient of the loss with respect to the outputs.
        x: inputs, with the shape, the dtype and the device of the outputs.
        call: the call that the user made, for error messages.
    """
    if grad_y.shape == x.shape and grad_y.dtype is x.dtype and grad_y.device == x.device:
        return
    got = f"a gradient of shape {tuple(grad_y.shape)} in {grad_y.dtype} on {grad_y.device}"
    hint = (
        f"expected that of the inputs: {tuple(x.shape)} in {x.dtype} on {x.device}. Do not "
        "change inputs by `x.data = ...` before the backward pass"
    )
    raise errors.ArgumentError(errors.message(call, got, hint))
