"""Runs a kernel on tensors with any strides, and makes the result differentiable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hinged.curve.evaluate import evaluate
from hinged.kernels.check_arguments import check_arguments, check_gradient
from hinged.kernels.eager_calls import is_batched_gradient, is_eager_call
from hinged.kernels.kernel import CurveTensors, Gradients, Kernel, curve_tensors
from hinged.kernels.memory_layout import as_dense, memory_layout, with_layout_of

_BACKWARD = "Tensor.backward"

CallSettings = tuple[int, str, bool, Kernel]
"""The settings `(dim, tails, uniform, kernel)` of one call.

`dim` is the channel axis of the inputs. `tails` is the kind of tails. `uniform` says whether the
hinges are equally spaced. `kernel` computes the call.
"""


class KernelFunction(torch.autograd.Function):
    """Autograd function that calls a kernel in the forward pass and in the backward pass.

    Only the arguments are stored for the backward pass. The kernel has first derivatives only. For
    a gradient that is differentiated again, batched or traced, the function `hinged.curve.evaluate`
    (the reference in plain torch) is used.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        values: Tensor,
        tail_slopes: Tensor | None,
        hinges_and_settings: tuple[Tensor, CallSettings],
    ) -> Tensor:
        """Return the outputs of the curves for the inputs `x`.

        The last argument has the hinges and the settings, for which no gradient is computed.
        """
        hinges, ctx.settings = hinges_and_settings
        dim, tails, uniform, kernel = ctx.settings
        ctx.save_for_backward(x, values, hinges, tail_slopes)
        return run_forward(
            kernel, x, curve_tensors(values, hinges, tail_slopes, tails, uniform), dim
        )

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the loss with respect to the arguments of `forward`.

        `grad_y` is the gradient of the loss with respect to the result of `forward`.
        """
        x, values, hinges, tail_slopes = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_eager_call(grad_y) or is_batched_gradient(grad_y):
            grads = _reference_backward(ctx, grad_y)
        else:
            dim, tails, uniform, kernel = ctx.settings
            # `x.data = ...` or `values.data = ...` after the forward pass changes a saved tensor.
            check_arguments(x, values, hinges, tail_slopes, dim, tails, _BACKWARD)
            check_gradient(grad_y, x, _BACKWARD)
            curves = curve_tensors(values, hinges, tail_slopes, tails, uniform)
            needs = ctx.needs_input_grad
            grads = run_backward(kernel, grad_y, x, curves, dim, (needs[0], needs[1] or needs[2]))
        grad_x, grad_values, grad_slopes = grads
        return (
            grad_x,
            _with_dtype_of(values, grad_values),
            _with_dtype_of(tail_slopes, grad_slopes),
            None,
        )


# `KernelFunction.apply` without its preparation for the transforms of `torch.func`, which takes
# 2.4 us. Calls inside transforms use the reference, so they do not need it here.
differentiable_forward: Callable[..., Tensor] = super(torch.autograd.Function, KernelFunction).apply


def run_forward(kernel: Kernel, x: Tensor, curves: CurveTensors, dim: int) -> Tensor:
    """Return the outputs of the curves for the inputs `x`, computed by a kernel.

    Args:
        kernel: the kernel.
        x: inputs with any strides; axis `dim` has `C` entries, or any number if `C` is 1.
        curves: the curves of the `C` channels.
        dim: the channel axis of `x`.
    """
    if x.numel() == 0:
        return torch.empty_like(x)
    x = as_dense(x)
    return kernel.forward(x, curves, memory_layout(x, curves[0].shape[0], dim))


def run_backward(
    kernel: Kernel,
    grad_y: Tensor,
    x: Tensor,
    curves: CurveTensors,
    dim: int,
    needs_grad: tuple[bool, bool],
) -> Gradients:
    """Return the gradients of the loss with respect to `x` and the curves, computed by a kernel.

    Args:
        kernel: the kernel.
        grad_y: gradient of the loss with respect to the outputs of the curves, in the shape of `x`,
            with any strides.
        x: inputs of the forward pass, with any strides.
        curves: the curves of the `C` channels.
        dim: the channel axis of `x`.
        needs_grad: two flags: whether to compute the gradient with respect to `x`, and whether to
            compute the gradients with respect to the curves.
    """
    values, _, slopes, *_ = curves
    if x.numel() == 0:
        zeros = torch.zeros_like(values), None if slopes is None else torch.zeros_like(slopes)
        return torch.empty_like(x), *zeros
    x = as_dense(x)
    layout = memory_layout(x, values.shape[0], dim)
    return kernel.backward(with_layout_of(x, grad_y), x, curves, layout, needs_grad)


def _reference_backward(ctx: Any, grad_y: Tensor) -> Gradients:
    x, values, hinges, tail_slopes = ctx.saved_tensors
    dim, tails, uniform, _ = ctx.settings
    needed = [index for index in (0, 1, 2) if ctx.needs_input_grad[index]]
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        y = evaluate(
            x, values, hinges, dim=dim, tails=tails, tail_slopes=tail_slopes, uniform=uniform
        )
        inputs = [(x, values, tail_slopes)[index] for index in needed]
        grads = torch.autograd.grad(y, inputs, grad_y, create_graph=create_graph)
    by_index = dict(zip(needed, grads, strict=True))
    return by_index.get(0), by_index.get(1), by_index.get(2)


def _with_dtype_of(parameter: Tensor | None, grad: Tensor | None) -> Tensor | None:
    if grad is None or parameter is None or grad.dtype is parameter.dtype:
        return grad
    return grad.to(parameter.dtype)
