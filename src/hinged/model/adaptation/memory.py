"""Finds the memory that holds the numbers of a tensor."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from hinged.nn.distributed_tensors import is_spread, whole

_SPARSE_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def parts_in_memory(name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that hold the numbers of a tensor in their own memory, with their names.

    An ordinary tensor yields itself. A quantised, sparse or other composed tensor has no memory of
    its own, and yields its parts. A tensor whose memory cannot be reached yields nothing.

    Args:
        name: the name of the tensor.
        tensor: the tensor.

    >>> [(name, part.tolist()) for name, part in parts_in_memory("x", torch.eye(2).to_sparse())]
    [('x._indices', [[0, 1], [0, 1]]), ('x._values', [1.0, 1.0])]
    """
    if is_spread(tensor):
        yield name, whole(tensor)
    elif is_traceable_wrapper_subclass(tensor):
        attributes, _ = tensor.__tensor_flatten__()
        for each in attributes:
            yield from parts_in_memory(f"{name}.{each}", getattr(tensor, each))
    elif tensor.layout in _SPARSE_PARTS:
        for each in _SPARSE_PARTS[tensor.layout]:
            yield f"{name}.{each}", getattr(tensor, each)()
    elif tensor.is_quantized:
        yield f"{name}.int_repr", tensor.int_repr()
        yield f"{name}.dequantize", tensor.dequantize()
    elif tensor.data_ptr() != 0 or tensor.numel() == 0:
        yield name, tensor
