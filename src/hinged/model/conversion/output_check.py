"""Runs a converted model, and compares its output with the output before the conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hinged.model.conversion.candidates import FirstBatch
from hinged.model.conversion.decisions import Settings
from hinged.model.conversion.install import Replacements
from hinged.model.conversion.module_reads import note_reads
from hinged.model.conversion.nested_tensors import tensors_in
from hinged.model.conversion.targets import ModuleSlot
from hinged.model.observation.run_model import state_restored, with_gradients_if_needed
from hinged.nn import Site

_UNREACHED = (
    "the model calls this activation by another reference, such as a plain list, and would not "
    "call a curve in its place"
)


def run_converted(
    model: nn.Module, replacements: Replacements, first: FirstBatch
) -> tuple[Any, dict[Any, str]]:
    """Run the converted model on the first batch, with the same random numbers as before.

    Args:
        model: the converted model.
        replacements: the activations that were replaced, and the curve layers.
        first: the first batch.

    Returns:
        A pair: the output of the model, and the curve layers that cannot take the place of the
        activation, each with the reason. If there are any, the output can be None.
    """
    called: set[nn.Module] = set()
    layers = [layer for _, layer in replacements]
    modules = {
        layer: each.call.module
        for each, layer in replacements
        if isinstance(each.target, ModuleSlot) and each.call.module is not None
    }
    handles = [layer.register_forward_hook(lambda layer, *_: called.add(layer)) for layer in layers]
    output = None
    try:
        with state_restored(model), note_reads(modules) as reasons:
            first.random_state.restore()
            output = with_gradients_if_needed(lambda: first.model_call.copy().run(model))
    except Exception:
        if not reasons:
            raise
        return output, reasons
    finally:
        for handle in handles:
            handle.remove()
    missed = [layer for each, layer in replacements if each.in_first_batch and layer not in called]
    return output, dict.fromkeys(missed, _UNREACHED) | reasons


def describe_difference(before: Any, after: Any, reason: str) -> str:
    """Return a sentence for the user about how much the conversion changed the model's output.

    Args:
        before: the output for the first batch before the conversion.
        after: the output for the first batch after the conversion.
        reason: why the outputs differ, from `reason_for_difference`. It is used only if they do.

    >>> describe_difference(torch.tensor([2.0]), torch.tensor([2.0]), "")
    'The conversion left the outputs of the first batch unchanged, bit for bit.'
    >>> before, after = torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.5])
    >>> print(describe_difference(before, after, "by design."))  # doctest: +NORMALIZE_WHITESPACE
    The conversion changed the outputs of the first batch by at most 5.0e-01 (25 % of the largest
    output): by design.
    """
    old, new = tensors_in(before), tensors_in(after)
    if not old and not new:
        return "The output of the model contains no tensors to compare."
    if [tensor.shape for tensor in old] != [tensor.shape for tensor in new]:
        return f"Outputs of the first batch have other shapes than before: {reason}"
    differences = [_differences(*pair) for pair in zip(old, new, strict=True)]
    absolute, relative = (max(each) for each in zip(*differences, strict=True))
    if absolute == 0:
        return "The conversion left the outputs of the first batch unchanged, bit for bit."
    size = f"{absolute:.1e} ({100 * relative:.2g} % of the largest output)"
    return f"The conversion changed the outputs of the first batch by at most {size}: {reason}"


def reason_for_difference(sites: Sequence[Site], settings: Settings) -> str:
    """Return why the outputs of a converted model differ from those before the conversion.

    Args:
        sites: the sites that were converted.
        settings: the settings of the curves.
    """
    if settings.init != "same":
        return "the curves start as the function in init=..., and not as the activations."
    fitted = dict.fromkeys(site.activation.partition("(")[0] for site in sites if site.error > 0)
    if fitted:
        have = "has" if len(fitted) == 1 else "have"
        return (
            f"{' and '.join(fitted)} {have} no exact curve, so the closest curve with "
            f"{settings.hinges} hinges was taken. More hinges bring it closer."
        )
    if settings.tails == "constant":
        return "constant tails differ from the activations outside the range of the hinges."
    return "the curves equal the activations except for rounding."


def _differences(before: torch.Tensor, after: torch.Tensor) -> tuple[float, float]:
    """Return the largest absolute entry of `after - before`, also divided by that of `before`."""
    if not before.numel():
        return 0.0, 0.0
    if before.is_complex():
        before, after = torch.view_as_real(before), torch.view_as_real(after)
    before, after = before.detach().double(), after.detach().double()
    equal = (before == after) | (before.isnan() & after.isnan())
    largest = (before - after).abs().masked_fill(equal, 0.0).max()
    scale = before.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(min=1e-30)
    return float(largest), float(largest / scale)
