"""Runs a converted model, and compares its output with the output before the conversion."""

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
    """Run the converted model on one batch.

    Args:
        model: the converted model.
        layers: the curve layers that were put into it.
        inputs: the positional and keyword arguments of the batch.

    Returns:
        A pair: the output of the model, and the set of the given `layers` that the model called.
    """
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
    """Return a sentence for the user about how much the conversion changed the model's output.

    Args:
        before: the output for the first batch before the conversion.
        after: the output for the first batch after the conversion.
        same_function: whether the curves start as the activations that they replace.
    """
    start = "the same function" if same_function else "a function chosen with init=..."
    pairs = zip(tensors_in(before), tensors_in(after), strict=True)
    differences = [_relative_difference(*pair) for pair in pairs]
    if not differences:
        return f"Curves started as {start}: the output contains no tensors to compare."
    return (
        f"Curves started as {start}: the outputs of the first batch have changed by at most "
        f"{max(differences):.1e} of the largest output."
    )


def _relative_difference(before: torch.Tensor, after: torch.Tensor) -> float:
    """Return the largest absolute entry of `after - before`, divided by that of `before`."""
    if not before.is_floating_point() or not before.numel():
        return 0.0
    before, after = before.double(), after.double()
    equal = (before == after) | (before.isnan() & after.isnan())
    largest = (before - after).abs().masked_fill(equal, 0.0).max()
    return float(largest / before.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1e-30))
