"""Which kernel computes a call: the one place where that is decided."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.evaluate import check_input, evaluate
from hinged.kernels import autograd, cpu, eager, library
from hinged.kernels.kernel import Kernel, curves_of
from hinged.kernels.triton_kernel import TritonKernel

AUTO, REFERENCE = "auto", "reference"
VARIABLE = "HINGED_KERNEL"

# Says the same as `is_compiling` in versions that cannot tell: there the reference is compiled.
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)

_asked: ContextVar[str | None] = ContextVar("hinged.kernels.use", default=None)


def apply(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    *,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
    uniform: bool = False,
) -> Tensor:
    """Return the curves at `x`: `hinged.curve.evaluate`, by the fastest kernel that can serve.

    Kernels serve plain eager calls, in float32 and bfloat16 on the CPU, and float16 too on a GPU.
    All else is for the reference: other dtypes, `vmap`, forward-mode and second derivatives,
    tracing, export, trained hinges.

    Raises:
        DtypeError: `x` is not floating point.
        ArgumentError: axis `dim` of `x` does not have `C` entries.
    """
    kernel = choose(x, values, hinges, tail_slopes)
    if kernel is None:
        if torch.compiler.is_compiling() and not _exporting() and _operator_serves(x, hinges):
            check_input(x, values.shape[0], dim)
            operator = torch.ops.hinged.piecewise_linear
            return operator(x, values, hinges, tail_slopes, dim, tails, uniform)  # type: ignore[no-any-return]
        return evaluate(
            x, values, hinges, dim=dim, tails=tails, tail_slopes=tail_slopes, uniform=uniform
        )
    check_input(x, values.shape[0], dim)
    if torch.is_grad_enabled() and (
        x.requires_grad
        or values.requires_grad
        or (tail_slopes is not None and tail_slopes.requires_grad)
    ):
        return autograd.fused(x, values, tail_slopes, (hinges, (dim, tails, uniform, kernel)))
    return autograd.forward(kernel, x, curves_of(values, hinges, tail_slopes, tails, uniform), dim)


def choose(
    x: Tensor, values: Tensor, hinges: Tensor, tail_slopes: Tensor | None = None
) -> Kernel | None:
    """Return the kernel that serves this call, or None for the reference."""
    if not eager.plain(x, values, hinges, tail_slopes):
        return None
    device = x.get_device()
    if (
        hinges.requires_grad
        or values.get_device() != device
        or hinges.get_device() != device
        or hinges.shape[-1] > cpu.MOST_HINGES
        or x.layout is not torch.strided
    ):
        return None
    for kernel in candidates(_asked.get()):
        if kernel.serves(x):
            return kernel
    return None


@contextmanager
def use(kernel: str) -> Iterator[None]:
    """Choose the kernel of the calls inside, in this thread; for measuring and for tests.

    Args:
        kernel: `"auto"`, the fastest for each device; `"reference"`, plain torch; or one of
            `names()`, which then serves wherever it can, and the reference elsewhere.

    Raises:
        UnknownNameError: this machine has no such kernel.

    >>> import hinged
    >>> layer, x = hinged.PiecewiseLinear(4), torch.randn(2, 4)
    >>> with use("reference"):
    ...     y = layer(x)
    >>> torch.equal(y, layer(x))
    True
    """
    candidates(kernel)
    token = _asked.set(kernel)
    try:
        yield
    finally:
        _asked.reset(token)


@functools.cache
def candidates(asked: str | None) -> tuple[Kernel, ...]:
    """Return the kernels to try in turn, where `asked` is an argument of `use`, or None for what
    the environment variable `HINGED_KERNEL` says, and else all."""
    call = "hinged.kernels.use(...)" if asked is not None else VARIABLE
    asked = asked or os.environ.get(VARIABLE) or AUTO
    kernels = _kernels()
    if asked == AUTO:
        return tuple(kernels.values())
    if asked == REFERENCE:
        return ()
    if asked not in kernels:
        raise errors.unknown_name(call, asked, names())
    return (kernels[asked],)


def names() -> list[str]:
    """Return what `use` takes on this machine.

    >>> "reference" in names()
    True
    """
    return [AUTO, *_kernels(), REFERENCE]


def describe() -> str:
    """Return in a line which kernel serves here and, where not a fast one, why and what to do.

    >>> isinstance(describe(), str)
    True
    """
    serving = [kernel.name for kernel in candidates(None)]
    if serving:
        others = [name for name in _kernels() if name != serving[0]]
        return serving[0] + (f" (also here: {', '.join(others)})" if others else "")
    if os.environ.get(VARIABLE) == REFERENCE:
        why = f"{VARIABLE}={REFERENCE} turns the fast kernels off; unset it."
    else:
        why = library.load().why_not
    return f"reference (plain torch): {why}"


def for_operator(x: Tensor) -> Kernel:
    """Return the kernel of a call that was compiled as an operator, where `use` or the environment
    may ask for the reference by now: the best then."""
    asked = candidates(_asked.get()) or candidates(AUTO)
    return next(kernel for kernel in asked if kernel.serves(x))


def _operator_serves(x: Tensor, hinges: Tensor) -> bool:
    """Whether what is compiled for the CPU calls a kernel, as an eager call would. The operator has
    a kernel's gradients, so that what no kernel serves is the reference, which the compiler sees. A
    graph that is exported is always the reference, and loads where hinged is not installed."""
    return (
        x.is_cpu
        and x.dtype in cpu.DTYPES
        and hinges.shape[-1] <= cpu.MOST_HINGES
        and not hinges.requires_grad
        and _has_kernels()
    )


def _has_kernels() -> bool:
    return bool(candidates(_asked.get()))


# What `torch.compiler.assume_constant_result` sets, which would import the compiler: a second.
_has_kernels._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _kernels() -> dict[str, Kernel]:
    kernels: dict[str, Kernel] = dict(cpu.available())
    if importlib.util.find_spec("triton") is not None and torch.version.cuda is not None:
        kernels["triton"] = TritonKernel()
    return kernels
