"""Checks whether a call is an ordinary eager call, which a kernel may compute.

A kernel reads and writes memory without telling PyTorch. `torch.compile`, `vmap`, forward-mode
derivatives, tracers, dispatch modes and tensor subclasses would not notice what the kernel does.
Some of them also pass tensors whose memory does not contain their numbers. The function
`hinged.curve.evaluate`, in plain torch, computes such calls.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

# Returns whether a functorch transform wraps a tensor, also after this transform has ended.
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_transforms_active = torch._C._are_functorch_transforms_active
_dispatch_modes = torch._C._len_torch_dispatch_stack
_tracing = torch._C._get_tracing_state
_is_exporting = getattr(torch.compiler, "is_exporting", None)
PLAIN_TYPES = (Tensor, nn.Parameter)
"""The types of ordinary tensors, which are no subclasses with operations of their own."""


def is_eager_call(*tensors: Tensor | None) -> bool:
    """Return whether the tensors are ordinary tensors and nothing intercepts operations on them.

    >>> is_eager_call(torch.ones(2))
    True

    Inside `vmap` the result is False, so 0 is added:

    >>> torch.func.vmap(lambda x: x + is_eager_call(x))(torch.zeros(2))
    tensor([0., 0.])
    """
    if (
        torch.compiler.is_compiling()
        or _transforms_active()
        or _dispatch_modes() > 0
        or _tracing() is not None
        or forward_ad._current_level >= 0
    ):
        return False
    for tensor in tensors:  # The function `all` with a generator takes a microsecond longer.
        if tensor is not None and (type(tensor) not in PLAIN_TYPES or _is_wrapped(tensor)):
            return False
    return True


def has_readable_values(tensor: Tensor) -> bool:
    """Return whether Python code can read the numbers of a tensor without leaving a trace of it.

    >>> has_readable_values(torch.ones(2)), has_readable_values(torch.ones(2, device="meta"))
    (True, False)
    """
    is_plain = type(tensor) in PLAIN_TYPES and not _is_wrapped(tensor)
    return is_plain and not tensor.is_meta and _tracing() is None


def is_intercepted(tensor: Tensor) -> bool:
    """Return whether a transform of functions or a tracer intercepts operations on a tensor.

    The results of such operations must not be kept, because they belong to the transform or to the
    traced graph. Dispatch modes that do not trace, such as that of selective checkpointing, do not
    count.

    >>> is_intercepted(torch.ones(2))
    False
    """
    return (
        _transforms_active()
        or _tracing() is not None
        or forward_ad._current_level >= 0
        or _is_wrapped(tensor)
        or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None
    )


def has_dispatch_modes() -> bool:
    """Return whether a mode intercepts operations, such as that of selective checkpointing.

    >>> has_dispatch_modes()
    False
    """
    return _dispatch_modes() > 0


def is_batched_gradient(tensor: Tensor) -> bool:
    """Return whether a gradient is a batch of gradients, from
    `torch.autograd.grad(is_grads_batched=True)`.

    This transform is not active any more when the backward pass runs. Only the tensor shows it.
    """
    return torch._C._functorch.is_legacy_batchedtensor(tensor)


def is_exporting(*, if_unknown: bool) -> bool:
    """Return whether `torch.export` is running.

    Args:
        if_unknown: the result with torch 2.6, which has no function for this.
    """
    return if_unknown if _is_exporting is None else _is_exporting()
