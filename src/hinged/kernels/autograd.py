"""A kernel as a differentiable function of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hinged.curve.evaluate import evaluate
from hinged.kernels import eager
from hinged.kernels.kernel import Curves, Gradients, Kernel, curves_of
from hinged.kernels.memory_layout import dense, geometry_of, like

Settings = tuple[int, str, bool, Kernel]
"""`dim`, `tails` and `uniform` of a call, and the kernel that serves it."""


class Fused(torch.autograd.Function):
    """One call forward, one call backward; only the inputs are kept in between.

    Where the gradient is itself differentiated, batched or traced, the reference computes it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        values: Tensor,
        tail_slopes: Tensor | None,
        others: tuple[Tensor, Settings],
    ) -> Tensor:
        """Return the curves at `x`; `others` has what gets no gradient, hinges and settings."""
        hinges, ctx.settings = others
        dim, tails, uniform, kernel = ctx.settings
        ctx.save_for_backward(x, values, hinges, tail_slopes)
        return forward(kernel, x, curves_of(values, hinges, tail_slopes, tails, uniform), dim)

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what the forward was given."""
        x, values, hinges, tail_slopes = ctx.saved_tensors
        if torch.is_grad_enabled() or not eager.plain(grad_y) or eager.batched(grad_y):
            grads = _by_reference(ctx, grad_y)
        else:
            dim, tails, uniform, kernel = ctx.settings
            curves = curves_of(values, hinges, tail_slopes, tails, uniform)
            needs = ctx.needs_input_grad
            grads = backward(kernel, grad_y, x, curves, dim, (needs[0], needs[1] or needs[2]))
        grad_x, grad_values, grad_slopes = grads
        return grad_x, _as(grad_values, values), _as(grad_slopes, tail_slopes), None


# `Fused.apply` without what it does first for transforms, which are for the reference: 2.4 us.
fused: Callable[..., Tensor] = super(torch.autograd.Function, Fused).apply


def forward(kernel: Kernel, x: Tensor, curves: Curves, dim: int) -> Tensor:
    """Return the curves at `x` `(..., C, ...)`, of any strides, by a kernel."""
    if x.numel() == 0:
        return torch.empty_like(x)
    x = dense(x)
    return kernel.forward(x, curves, geometry_of(x, curves[0].shape[0], dim))


def backward(
    kernel: Kernel, grad_y: Tensor, x: Tensor, curves: Curves, dim: int, wanted: tuple[bool, bool]
) -> Gradients:
    """Return the gradients by a kernel, for tensors of any strides."""
    values, _, slopes, *_ = curves
    if x.numel() == 0:
        none = torch.zeros_like(values), None if slopes is None else torch.zeros_like(slopes)
        return torch.empty_like(x), *none
    x = dense(x)
    geometry = geometry_of(x, values.shape[0], dim)
    return kernel.backward(like(grad_y, x), x, curves, geometry, wanted)


def _by_reference(ctx: Any, grad_y: Tensor) -> Gradients:
    x, values, hinges, tail_slopes = ctx.saved_tensors
    dim, tails, uniform, _ = ctx.settings
    places = [place for place in (0, 1, 2) if ctx.needs_input_grad[place]]
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        y = evaluate(
            x, values, hinges, dim=dim, tails=tails, tail_slopes=tail_slopes, uniform=uniform
        )
        inputs = [(x, values, tail_slopes)[place] for place in places]
        grads = torch.autograd.grad(y, inputs, grad_y, create_graph=again)
    found = dict(zip(places, grads, strict=True))
    return found.get(0), found.get(1), found.get(2)


def _as(grad: Tensor | None, parameter: Tensor | None) -> Tensor | None:
    if grad is None or parameter is None or grad.dtype is parameter.dtype:
        return grad
    return grad.to(parameter.dtype)
