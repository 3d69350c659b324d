"""Runs a converted model and compares its output with the output before the conversion."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hinged.model.conversion.channel_axes import tensors_in
from hinged.model.conversion.trace_activations import clone_tensors
from hinged.model.observation.run_model import ModelInputs, state_restored
from hinged.nn import PiecewiseLinear


def run_converted(
    model: nn.Module, layers: list[PiecewiseLinear], inputs: ModelInputs
) -> tuple[Any, set[nn.Module]]:
    """Return the output of the model and those of the layers that it called."""
    called: set[nn.Module] = set()
    args, kwargs = clone_tensors(inputs)
    handles = [layer.register_forward_hook(lambda layer, *_: called.add(layer)) for layer in layers]
    try:
        with state_restored(model):
            return model(*args, **kwargs), called
    finally:
        for handle in handles:
            handle.remove()


def describe_difference(before: Any, after: Any, *, same_function: bool) -> str:
    """Return a sentence that says how much the outputs of the first batch have changed."""
    start = "the same function" if same_function else "another function"
    pairs = zip(tensors_in(before), tensors_in(after), strict=True)
    differences = [_relative_difference(*pair) for pair in pairs]
    if not differences:
        return f"Started as {start}: the output contains no tensors to compare."
    return (
        f"Started as {start}: outputs of the first batch differ by {max(differences):.1e} of the "
        "largest output."
    )


def _relative_difference(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return the largest difference, divided by the largest number of `before`."""
    if not before.is_floating_point() or not before.numel():
        return 0.0
    before, after = before.double(), after.double()
    equal = (before == after) | (before.isnan() & after.isnan())
    largest = (before - after).abs().masked_fill(equal, 0.0).max()
    return float(largest / before.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1e-30))
