"""The kernels as operators of torch, for `torch.compile`.

A compiler sees through the reference and fuses it, but its gradient is a scatter-add. Compiled for
the CPU, an operator that it cannot see into is faster; see the benchmarks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hinged.kernels import autograd, dispatch
from hinged.kernels.kernel import curves_of


@torch.library.custom_op("hinged::piecewise_linear", mutates_args=())
def piecewise_linear(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    dim: int,
    tails: str,
    uniform: bool,
) -> Tensor:
    """Return the curves at `x`; arguments as of `hinged.kernels.apply`."""
    curves = curves_of(values, hinges, tail_slopes, tails, uniform)
    return autograd.forward(dispatch.for_operator(x), x, curves, dim)


@torch.library.custom_op("hinged::piecewise_linear_backward", mutates_args=())
def piecewise_linear_backward(
    grad_y: Tensor,
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    dim: int,
    tails: str,
    uniform: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `x`, `values` and `tail_slopes` (empty where there are none)."""
    curves = curves_of(values, hinges, tail_slopes, tails, uniform)
    grad_x, grad_values, grad_slopes = autograd.backward(
        dispatch.for_operator(x), grad_y, x, curves, dim, (True, True)
    )
    assert grad_x is not None and grad_values is not None
    none = grad_values.new_empty(0)
    own = none if grad_slopes is None or tail_slopes is None else grad_slopes.to(tail_slopes.dtype)
    return grad_x, grad_values.to(values.dtype), own


@piecewise_linear.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@piecewise_linear_backward.register_fake
def _(
    _grad_y: Tensor, x: Tensor, values: Tensor, _hinges: Tensor, tail_slopes: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    slopes = values.new_empty(0) if tail_slopes is None else torch.empty_like(tail_slopes)
    return torch.empty_like(x), values.new_empty(values.shape), slopes


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, values, hinges, tail_slopes, *ctx.settings = inputs
    ctx.save_for_backward(x, values, hinges, tail_slopes)


def _differentiate(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    grad_x, grad_values, grad_slopes = piecewise_linear_backward(
        grad_y, *ctx.saved_tensors, *ctx.settings
    )
    own = grad_slopes if ctx.needs_input_grad[3] else None
    return grad_x, grad_values, None, own, None, None, None


piecewise_linear.register_autograd(_differentiate, setup_context=_remember)
