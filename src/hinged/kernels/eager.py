"""Whether a call is a plain eager one, so that a kernel may take the place of torch's operations.

A kernel reads and writes memory behind PyTorch's back. That is right only while nobody else looks:
under `torch.compile`, `vmap`, forward-mode derivatives, tracing, a dispatch mode or with a tensor
subclass it would go unseen, or see memory that is not the tensor's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

# Of a tensor that belongs to a transform, or was carried out of one that has ended.
_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_transforms_active = torch._C._are_functorch_transforms_active
_dispatch_modes = torch._C._len_torch_dispatch_stack
_tracing = torch._C._get_tracing_state
_PLAIN_TYPES = (Tensor, nn.Parameter)


def plain(*tensors: Tensor | None) -> bool:
    """Whether these are ordinary tensors and nothing intercepts operations on them.

    >>> plain(torch.ones(2))
    True
    >>> torch.func.vmap(lambda x: x + plain(x))(torch.zeros(2))
    tensor([0., 0.])
    """
    if intercepted():
        return False
    for tensor in tensors:  # A generator for `all` would cost a microsecond more.
        if tensor is not None and (type(tensor) not in _PLAIN_TYPES or _wrapped(tensor)):
            return False
    return True


def batched(tensor: Tensor) -> bool:
    """Whether a gradient is really many at once, as with `torch.autograd.grad(is_grads_batched)`;
    that transform is not active in the backward it calls, only its tensors tell.
    """
    return torch._C._functorch.is_legacy_batchedtensor(tensor)


def intercepted() -> bool:
    """Whether a transform, a tracer, a compiler or a dispatch mode is active in this thread."""
    return (
        torch.compiler.is_compiling()
        or _transforms_active()
        or _dispatch_modes() > 0
        or _tracing() is not None
        or forward_ad._current_level >= 0
    )
