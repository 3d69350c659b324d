"""Calls products of matrices with weights that need no gradients as fast as those that do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hinged.model.conversion.contained_tensors import tensors_in

_PRODUCTS = (F.linear, F.multi_head_attention_forward)


def call_quickly(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """Call a function of torch, and return its result.

    If the weights of a product need no gradients and its input is not contiguous, as in
    `nn.MultiheadAttention`, torch multiplies the matrices of a batch one by one. In a vision
    transformer, this takes up to 10 times as long as the product with weights that need gradients.
    If no tensor needs gradients, the function is therefore called without gradients, with weights
    that would need them.

    >>> x, weight = torch.randn(3, 4, 2).transpose(0, 1), nn.Parameter(torch.randn(5, 2), False)
    >>> found = call_quickly(F.linear, (x, weight), {})
    >>> found.requires_grad, torch.allclose(found, F.linear(x, weight), atol=1e-6)
    (False, True)
    """
    tensors = tensors_in((args, given)) if function in _PRODUCTS else []
    if not tensors or any(tensor.requires_grad for tensor in tensors):
        return function(*args, **given)
    weights = [each for each in tensors if isinstance(each, nn.Parameter)]
    weights = [each for each in weights if each.is_leaf and each.is_floating_point()]
    weights = [each for each in weights if not each.is_inference()]
    with torch.no_grad():
        try:
            for weight in weights:
                weight.requires_grad_(True)
            return function(*args, **given)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
