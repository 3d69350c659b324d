"""The memory that a network keeps for the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hinged.lab.training.freezing import set_training_mode


def memory_for_backward(model: nn.Module, x: Tensor) -> int:
    """Return the number of bytes that a forward pass in training mode keeps for the backward pass.

    Parameters and buffers of the network are not counted.

    Args:
        model: the network. It is in training mode afterwards, and its buffers are unchanged.
        x: a batch of inputs.
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
        # `output` keeps every storage alive, so that no two storages have the same address.
        output = set_training_mode(model)(x)
    model.load_state_dict(buffers, strict=False)
    del output
    return sum(saved.values())
