"""Notes which curve layers of a converted model are called, and where another is called instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hinged.model.conversion.install import RepeatedCallCurves, Replacements
from hinged.nn import PiecewiseLinear


class CurveCalls:
    """Notes in a `with` block which curve layers a model calls, and where it calls another.

    Args:
        model: the converted model.
        replacements: the replaced activations and their curve layers.
        in_slots: the module that each curve layer replaces under its name.

    Attributes:
        precisions: the precision of the outputs of each curve layer that was called.
    """

    def __init__(
        self,
        model: nn.Module,
        replacements: Replacements,
        in_slots: Mapping[PiecewiseLinear, nn.Module],
    ) -> None:
        self.precisions: dict[nn.Module, float] = {}
        self._replacements, self._in_slots = replacements, in_slots
        self._repeated = [each for each in model.modules() if isinstance(each, RepeatedCallCurves)]
        self._executed: set[nn.Module] = set()
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> CurveCalls:
        curves = [layer for _, layer in self._replacements]
        hooks = [
            *((layer, self._note_precision) for layer in curves),
            *((each, self._note) for each in (*self._repeated, *self._in_slots.values())),
        ]
        self._handles = [module.register_forward_hook(hook) for module, hook in hooks]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note_precision(self, layer: nn.Module, _args: Any, y: Tensor) -> None:
        self.precisions[layer] = torch.finfo(y.dtype).eps

    def _note(self, module: nn.Module, _args: Any, _y: Any) -> None:
        self._executed.add(module)

    def missed(self) -> list[PiecewiseLinear]:
        """Return the layers that should have been called, or in whose place another was."""
        passed_over = {layer for layer, old in self._in_slots.items() if old in self._executed}
        for curves in self._repeated:
            layers = curves.values()
            if curves in self._executed and not any(each in self.precisions for each in layers):
                passed_over |= {each for each in layers if isinstance(each, PiecewiseLinear)}
        return [
            layer
            for each, layer in self._replacements
            if layer not in self.precisions and (each.in_first_batch or layer in passed_over)
        ]
