"""Selects the kernel that computes a call. No other module makes this choice."""

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
from hinged.kernels import cpu_kernel
from hinged.kernels.cpu_library import load_cpu_library
from hinged.kernels.eager_calls import is_eager_call
from hinged.kernels.kernel import Kernel
from hinged.kernels.triton_kernel import TritonKernel

AUTO, REFERENCE = "auto", "reference"
KERNEL_VARIABLE = "HINGED_KERNEL"

_name_in_use: ContextVar[str | None] = ContextVar("hinged.kernels.use_kernel", default=None)


def select_kernel(
    x: Tensor, values: Tensor, hinges: Tensor, tail_slopes: Tensor | None = None
) -> Kernel | None:
    """Return the kernel for a call with these tensors, or None if `hinged.curve.evaluate`, in plain
    torch, must compute the call."""
    if not is_eager_call(x, values, hinges, tail_slopes):
        return None
    if (
        hinges.requires_grad
        or hinges.shape[-1] > cpu_kernel.MOST_HINGES
        or x.layout is not torch.strided
    ):
        return None
    for kernel in kernels_by_preference(_name_in_use.get()):
        if kernel.supports(x):
            return kernel
    return None


@contextmanager
def use_kernel(name: str) -> Iterator[None]:
    """Select a kernel by name inside a `with` block, in the current thread, for benchmarks and
    tests.

    A kernel is one implementation of the evaluation of curves. The named kernel computes every call
    that it supports. The reference, in plain torch, computes the other calls.

    Args:
        name: `"auto"` for the fastest kernel on each device, `"reference"` for plain torch, or
            another name in `kernel_names()`.

    Raises:
        UnknownNameError: if this machine has no kernel with this name.

    >>> import hinged
    >>> layer, x = hinged.PiecewiseLinear(4), torch.randn(2, 4)
    >>> with use_kernel("reference"):
    ...     y = layer(x)
    >>> torch.equal(y, layer(x))
    True
    """
    kernels_by_preference(name)
    token = _name_in_use.set(name)
    try:
        yield
    finally:
        _name_in_use.reset(token)


@functools.cache
def kernels_by_preference(name: str | None) -> tuple[Kernel, ...]:
    """Return the kernels that may compute a call, in the order of preference.

    If the tuple is empty, the reference in plain torch computes all calls.

    Args:
        name: a name for `use_kernel`. None means the name in the environment variable
            `HINGED_KERNEL`, or `"auto"` if the variable is not set.

    Raises:
        UnknownNameError: if this machine has no kernel with this name.
    """
    call = "hinged.kernels.use_kernel(...)" if name is not None else KERNEL_VARIABLE
    name = name or os.environ.get(KERNEL_VARIABLE) or AUTO
    kernels = _installed_kernels()
    if name == AUTO:
        return tuple(kernels.values())
    if name == REFERENCE:
        return ()
    if name not in kernels:
        raise errors.unknown_name(call, name, kernel_names())
    return (kernels[name],)


def kernel_names() -> list[str]:
    """Return the kernel names that `use_kernel` accepts on this machine.

    >>> "reference" in kernel_names()
    True
    """
    return [AUTO, *_installed_kernels(), REFERENCE]


def describe_kernel() -> str:
    """Return one line of text: the name of the kernel in use and other available kernels.

    If only the reference in plain torch is available, the line also says why, and what to do.
    """
    in_use = [kernel.name for kernel in kernels_by_preference(None)]
    if in_use:
        others = [name for name in _installed_kernels() if name != in_use[0]]
        return in_use[0] + (f" (also here: {', '.join(others)})" if others else "")
    if os.environ.get(KERNEL_VARIABLE) == REFERENCE:
        why = f"{KERNEL_VARIABLE}={REFERENCE} turns the fast kernels off; unset this variable."
    else:
        why = load_cpu_library().why_not
    return f"reference (plain torch): {why}"


def select_kernel_for_operator(x: Tensor) -> Kernel:
    """Return the kernel for a call that `torch.compile` has compiled to an operator.

    An operator cannot call the reference in plain torch. If `use_kernel` or `HINGED_KERNEL` selects
    the reference after the compilation, the fastest kernel computes the call.
    """
    kernels = kernels_by_preference(_name_in_use.get()) or kernels_by_preference(AUTO)
    return next(kernel for kernel in kernels if kernel.supports(x))


def operator_supports(x: Tensor, hinges: Tensor) -> bool:
    """Return whether `torch.compile` should compile a call for the CPU to an operator with a
    kernel.

    An operator has first derivatives only. If the result is False, `torch.compile` compiles the
    reference in plain torch. An exported graph always contains the reference, so the graph can be
    loaded without hinged.
    """
    return (
        x.is_cpu
        and x.dtype in cpu_kernel.DTYPES
        and hinges.shape[-1] <= cpu_kernel.MOST_HINGES
        and not hinges.requires_grad
        and _kernel_in_use()
    )


def _kernel_in_use() -> bool:
    return bool(kernels_by_preference(_name_in_use.get()))


# This has the effect of `torch.compiler.assume_constant_result`, but does not import the compiler,
# which takes 1 s.
_kernel_in_use._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _installed_kernels() -> dict[str, Kernel]:
    kernels: dict[str, Kernel] = dict(cpu_kernel.available_cpu_kernels())
    if importlib.util.find_spec("triton") is not None and torch.version.cuda is not None:
        kernels["triton"] = TritonKernel()
    return kernels
