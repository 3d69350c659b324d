"""Finds tensors whose number of channels can vary, because the model selects some of them."""

from __future__ import annotations

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.operations import LAYERS, RESIZING

Widths = set[int]
"""The numbers of channels that a model has selected from one tensor."""


class SlicedWidths:
    """Records how many channels a model selects from a tensor.

    A model that selects different numbers of channels from the same tensor can select another
    number later, for example in the other branch of an `if`. All tensors that are computed from the
    selected channels, up to the next layer, then have a number of channels that can vary.
    """

    def __init__(self) -> None:
        self._selected = WeakTensorKeyDictionary()
        self._sources = WeakTensorKeyDictionary()

    def follow(self, name: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Record which selected channels the outputs of a torch function come from.

        Args:
            name: the name of the function.
            inputs: the tensors among its arguments.
            outputs: the tensors that it has returned.
        """
        if name in LAYERS or name in RESIZING:
            return
        sources = [each for x in inputs for each in self._sources.get(x, ())]
        for out in outputs if sources else ():
            self._sources[out] = sources

    def note_slice(self, source: Tensor, out: Tensor, width: int) -> None:
        """Record that `out` has `width` channels of the tensor `source`."""
        widths: Widths = self._selected.setdefault(source, set())
        widths.add(width)
        self._sources[out] = [*self._sources.get(source, ()), widths]

    def selected_from(self, x: Tensor) -> list[Widths]:
        """Return the numbers of channels that the model has selected from each tensor before `x`.

        The sets grow while the model runs. If one of them has two numbers, the width of `x` can
        vary.
        """
        return list(self._sources.get(x, ()))
