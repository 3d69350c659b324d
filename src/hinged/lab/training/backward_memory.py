"""Measures the memory that a network keeps for the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hinged.lab.training.freezing import set_training_mode


def memory_for_backward(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that one forward pass on `x` keeps for the backward pass.

    The weights themselves do not count.
    """
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    saved: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        # Without this reference, a storage could be freed and its address counted for another one.
        output = set_training_mode(model)(x)
    model.load_state_dict(buffers, strict=False)
    del output
    return sum(saved.values())
