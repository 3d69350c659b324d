"""`evaluate_curves`: the function `hinged.curve.evaluate`, computed by the fastest kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from hinged.curve.evaluate import evaluate
from hinged.kernels.autograd import differentiable_forward, run_forward
from hinged.kernels.check_arguments import check_arguments
from hinged.kernels.eager_calls import is_exporting
from hinged.kernels.kernel import curve_tensors
from hinged.kernels.nested_tensors import map_nested
from hinged.kernels.select_kernel import operator_supports, select_kernel

CALL = "hinged.kernels.evaluate_curves"


def evaluate_curves(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    *,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
    uniform: Callable[[Tensor], bool] | None = None,
    call: str = CALL,
) -> Tensor:
    """Return the outputs of curves for the inputs `x`, computed by the fastest kernel.

    The result is that of `hinged.curve.evaluate`, the reference in plain torch. A kernel is a
    faster implementation. Kernels compute plain eager calls in float32 and bfloat16, and on a GPU
    also in float16. The reference computes all other calls: other dtypes, `vmap`, forward-mode and
    second derivatives, tracing, export, and hinges that require gradients.

    Args:
        x: inputs; axis `dim` has `C` entries, or any number if `C` is 1. It may be nested.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        dim: the channel axis of `x`.
        tails: `"linear"`, `"constant"` or `"free"`.
        tail_slopes: slopes of the left and the right tail for free tails, shape `(C, 2)`. None for
            other tails.
        uniform: a function that returns whether the hinges are equally spaced without any rounding
            error. It is called only where the answer makes the computation faster. None is always
            correct, but can be slower.
        call: the call that the user made, for error messages.

    Returns:
        A new tensor with the shape, dtype and memory format of `x`.

    Raises:
        DtypeError: if `x` is not floating point.
        ArgumentError: if `C` is not 1 and axis `dim` of `x` does not have `C` entries, if the
            shapes of the tensors of the curves do not match, or if they are not on the device of
            `x`.

    >>> h = torch.tensor([-1.0, 0.0, 1.0])
    >>> evaluate_curves(torch.tensor([[-2.0, 0.25, 3.0]]), h.abs()[None], h)
    tensor([[2.0000, 0.2500, 3.0000]])
    """
    if isinstance(x, Tensor) and x.is_nested:
        evaluate_part = functools.partial(
            evaluate_curves,
            values=values,
            hinges=hinges,
            dim=dim,
            tails=tails,
            tail_slopes=tail_slopes,
            uniform=uniform,
            call=call,
        )
        return map_nested(evaluate_part, x)
    check_arguments(x, values, hinges, tail_slopes, dim, tails, call)
    kernel = select_kernel(x, values, hinges, tail_slopes)
    if kernel is None:
        return _evaluate_without_kernel(x, values, hinges, dim, tails, tail_slopes, uniform, call)
    is_uniform = kernel.uses_spacing and uniform is not None and uniform(hinges)
    if torch.is_grad_enabled() and (
        x.requires_grad
        or values.requires_grad
        or (tail_slopes is not None and tail_slopes.requires_grad)
    ):
        settings = (dim, tails, is_uniform, kernel)
        return differentiable_forward(x, values, tail_slopes, (hinges, settings))
    curves = curve_tensors(values, hinges, tail_slopes, tails, is_uniform)
    return run_forward(kernel, x, curves, dim)


def _evaluate_without_kernel(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    dim: int,
    tails: str,
    tail_slopes: Tensor | None,
    uniform: Callable[[Tensor], bool] | None,
    call: str,
) -> Tensor:
    """Return the outputs of the operator for compiled code, or of the reference."""
    # The hinges can be overwritten after the compilation, so it must not rely on their spacing.
    compiling = torch.compiler.is_compiling() and not is_exporting(if_unknown=True)
    if compiling and operator_supports(x, hinges):
        operator = torch.ops.hinged.piecewise_linear
        return operator(x, values, hinges, tail_slopes, dim, tails)  # type: ignore[no-any-return]
    return evaluate(
        x,
        values,
        hinges,
        dim=dim,
        tails=tails,
        tail_slopes=tail_slopes,
        uniform=uniform is not None and not compiling and uniform(hinges),
        call=call,
    )
