"""Compares the outputs of a model before and after its conversion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.decisions import Settings
from hinged.nn import Site

_CHUNK = 2**20


@dataclass(frozen=True)
class OutputDifference:
    """How much two outputs of a model differ.

    Attributes:
        absolute: the largest absolute difference of two numbers.
        relative: the largest difference of floating-point numbers, divided by the largest number of
            the output tensor before.
        other_form: whether the outputs have other tensors or other shapes, which cannot be
            compared.
        other_numbers: whether whole numbers, such as classes, differ.
        nothing: whether the outputs contain no tensors.
    """

    absolute: float = 0.0
    relative: float = 0.0
    other_form: bool = False
    other_numbers: bool = False
    nothing: bool = False

    @property
    def change(self) -> str:
        """What happens to the outputs, as the predicate of a sentence."""
        return "have other shapes than before" if self.other_form else f"change by {self._size}"

    @property
    def _size(self) -> str:
        largest = f" ({100 * self.relative:.2g} % of the largest output)" if self.relative else ""
        return f"at most {self.absolute:.1e}{largest}"

    def describe(self, reason: str) -> str:
        """Return a sentence for the user about the difference.

        Args:
            reason: why the outputs differ, from `reason_for_difference`. It is used only if they
                do.

        >>> before, after = torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.5])
        >>> compare_outputs(before, before).describe("")
        'The conversion left the outputs of the first batch unchanged, bit for bit.'
        >>> text = compare_outputs(before, after).describe("by design.")
        >>> print(text)  # doctest: +NORMALIZE_WHITESPACE
        The conversion changed the outputs of the first batch by at most 5.0e-01 (25 % of the
        largest output): by design.
        """
        if self.nothing:
            return "The output of the model contains no tensors to compare."
        if self.other_form:
            return f"Outputs of the first batch {self.change}: {reason}"
        if self.absolute == 0:
            return "The conversion left the outputs of the first batch unchanged, bit for bit."
        return f"The conversion changed the outputs of the first batch by {self._size}: {reason}"


def compare_outputs(before: Any, after: Any) -> OutputDifference:
    """Compare all tensors of two outputs of a model, which may be nested structures."""
    old, new = _dense_tensors(before), _dense_tensors(after)
    if not old and not new:
        return OutputDifference(nothing=True)
    if [tensor.shape for tensor in old] != [tensor.shape for tensor in new]:
        return OutputDifference(other_form=True)
    found = [(tensor, _differences(tensor, other)) for tensor, other in zip(old, new, strict=True)]
    continuous = [sizes for tensor, sizes in found if _is_continuous(tensor)]
    whole = [sizes for tensor, sizes in found if not _is_continuous(tensor)]
    return OutputDifference(
        absolute=max(absolute for absolute, _ in (*continuous, *whole)),
        relative=max((relative for _, relative in continuous), default=0.0),
        other_numbers=any(absolute > 0 for absolute, _ in whole),
    )


def _is_continuous(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _dense_tensors(output: Any) -> list[Tensor]:
    """Return the tensors of an output, with the parts of nested tensors, as dense tensors."""
    found = []
    for tensor in tensors_in(output):
        parts = tensor.detach().unbind() if tensor.is_nested else (tensor.detach(),)
        found += [part.dequantize() if part.is_quantized else part.to_dense() for part in parts]
    return found


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
        hinges = _range_of(site.hinges for site in sites if site.error > 0)
        return (
            f"{' and '.join(fitted)} {have} no exact curve, so the closest curve with {hinges} "
            "hinges was taken. More hinges bring it closer."
        )
    if settings.tails == "constant":
        return "constant tails differ from the activations outside the range of the hinges."
    return "the curves equal the activations except for rounding."


def _range_of(numbers: Iterable[int]) -> str:
    """Return one number, or the smallest and the largest, as text."""
    ends = sorted(set(numbers))
    return str(ends[0]) if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def _differences(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the largest absolute entry of `after - before`, also divided by that of `before`."""
    if before.is_complex():
        before, after = torch.view_as_real(before), torch.view_as_real(after)
    largest = scale = 0.0
    # Chunks of large outputs, such as the scores of all words, take little memory.
    chunks = zip(before.flatten().split(_CHUNK), after.flatten().split(_CHUNK), strict=True)
    for old, new in ((old.double(), new.double()) for old, new in chunks if old.numel()):
        equal = (old == new) | (old.isnan() & new.isnan())
        difference = (old - new).abs().masked_fill(equal, 0.0).nan_to_num(torch.inf).max().item()
        largest = max(largest, difference)
        scale = max(scale, old.nan_to_num(0.0, 0.0, 0.0).abs().max().item())
    return largest, largest / max(scale, 1e-30)
