"""Runs a converted model as it was run before, and says how far apart the outputs are."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hinged.model.conversion.channel_axes import tensors_in
from hinged.model.conversion.install import Layers
from hinged.model.conversion.trace import copied
from hinged.model.observation.run_model import ModelInputs, state_restored


def run_with(model: nn.Module, layers: Layers, inputs: ModelInputs) -> tuple[Any, set[nn.Module]]:
    """Return the outputs for the first batch and the layers that were called."""
    called: set[nn.Module] = set()
    args, kwargs = copied(inputs)
    handles = [
        layer.register_forward_hook(lambda layer, *_: called.add(layer)) for _, layer in layers
    ]
    try:
        with state_restored(model):
            return model(*args, **kwargs), called
    finally:
        for handle in handles:
            handle.remove()


def compared(before: Any, after: Any, same: bool) -> str:
    """Return a sentence that says how far the outputs of the first batch are from those before."""
    start = "the same function" if same else "another function"
    pairs = zip(tensors_in(before), tensors_in(after), strict=True)
    apart = [_relative(*pair) for pair in pairs]
    if not apart:
        return f"Started as {start}: no tensors among the outputs show how nearly."
    return (
        f"Started as {start}: outputs of the first batch differ by {max(apart):.1e} of their "
        "largest."
    )


def _relative(before: torch.Tensor, after: torch.Tensor) -> float:
    if not before.is_floating_point() or not before.numel():
        return 0.0
    before, after = before.double(), after.double()
    same = (before == after) | (before.isnan() & after.isnan())
    apart = (before - after).abs().masked_fill(same, 0.0).max()
    return float(apart / before.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1e-30))
