"""The kernels as custom operators of torch, for `torch.compile`.

Without these operators, `torch.compile` would compile the reference, `hinged.curve.evaluate`. It
could fuse the reference with other operations. However, the gradient of the reference needs a
scatter-add, which is slow on a CPU. A custom operator cannot be fused, but is faster.
`docs/benchmarks.md` has the times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hinged.kernels.autograd import run_backward, run_forward
from hinged.kernels.check_arguments import check_arguments, check_gradient
from hinged.kernels.kernel import curve_tensors
from hinged.kernels.select_kernel import select_kernel_for_operator

_CALL = "torch.ops.hinged.piecewise_linear"


@torch.library.custom_op("hinged::piecewise_linear", mutates_args=())
def piecewise_linear(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    dim: int,
    tails: str,
) -> Tensor:
    """Return the outputs of the curves for the inputs `x`.

    `hinged.kernels.evaluate_curves` describes the arguments.
    """
    check_arguments(x, values, hinges, tail_slopes, dim, tails, _CALL)
    curves = curve_tensors(values, hinges, tail_slopes, tails, uniform=False)
    return run_forward(select_kernel_for_operator(x), x, curves, dim)


@torch.library.custom_op("hinged::piecewise_linear_backward", mutates_args=())
def piecewise_linear_backward(
    grad_y: Tensor,
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    dim: int,
    tails: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the loss with respect to `x`, `values` and `tail_slopes`.

    `grad_y` is the gradient of the loss with respect to the result of `piecewise_linear`. If
    `tail_slopes` is None, the third tensor is empty.
    """
    check_arguments(x, values, hinges, tail_slopes, dim, tails, _CALL)
    check_gradient(grad_y, x, f"{_CALL}(grad_y)")
    curves = curve_tensors(values, hinges, tail_slopes, tails, uniform=False)
    grad_x, grad_values, grad_slopes = run_backward(
        select_kernel_for_operator(x), grad_y, x, curves, dim, (True, True)
    )
    assert grad_x is not None and grad_values is not None
    empty = grad_values.new_empty(0)
    if grad_slopes is not None and tail_slopes is not None:
        grad_slopes = grad_slopes.to(tail_slopes.dtype)
    return grad_x, grad_values.to(values.dtype), empty if grad_slopes is None else grad_slopes


@piecewise_linear.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@piecewise_linear_backward.register_fake
def _(
    _grad_y: Tensor, x: Tensor, values: Tensor, _hinges: Tensor, tail_slopes: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    slopes = values.new_empty(0) if tail_slopes is None else torch.empty_like(tail_slopes)
    return torch.empty_like(x), values.new_empty(values.shape), slopes


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, values, hinges, tail_slopes, *ctx.settings = inputs
    ctx.save_for_backward(x, values, hinges, tail_slopes)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    grad_x, grad_values, grad_slopes = piecewise_linear_backward(
        grad_y, *ctx.saved_tensors, *ctx.settings
    )
    if not ctx.needs_input_grad[3]:
        grad_slopes = None
    return grad_x, grad_values, None, grad_slopes, None, None


piecewise_linear.register_autograd(_backward, setup_context=_save_inputs)
