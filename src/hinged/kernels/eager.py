"""Whether a call is a plain eager one, so that a kernel may take the place of torch's operations.

A kernel reads and writes memory behind PyTorch's back. That is right only while nobody else looks:
under `torch.compile`, `vmap`, forward-mode derivatives, tracing, a dispatch mode or with a tensor
subclass it would go unseen, or see memory that is not the tensor's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

_PLAIN_TYPES = (Tensor, nn.Parameter)


def plain(*tensors: Tensor | None) -> bool:
    """Whether these are ordinary tensors and nothing intercepts operations on them.

    >>> plain(torch.ones(2))
    True
    >>> torch.func.vmap(lambda x: x + plain(x))(torch.zeros(2))
    tensor([0., 0.])
    """
    for tensor in tensors:  # A generator for `all` would cost a microsecond more.
        if tensor is not None and type(tensor) not in _PLAIN_TYPES:
            return False
    return not intercepted()


def batched(tensor: Tensor) -> bool:
    """Whether a gradient is really many at once, as with `torch.autograd.grad(is_grads_batched)`;
    that transform is not active in the backward it calls, only its tensors tell.
    """
    functorch = torch._C._functorch
    return functorch.is_batchedtensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def intercepted() -> bool:
    """Whether a transform, a tracer, a compiler or a dispatch mode is active in this thread."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._get_tracing_state() is not None
        or forward_ad._current_level >= 0
    )
