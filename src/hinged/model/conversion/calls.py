"""One place where a model applies an activation, and what was seen there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hinged.model.conversion.activation_calls import same
from hinged.model.conversion.call_site import Place
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.moments import Moments


@dataclass(eq=False)
class Call:
    """A place where the model applies an activation, as often as it comes by there.

    Attributes:
        place: where in the source, or only in words.
        module: the module that was called, None for a function.
        function: the function that was called, None for a module.
        native: the module that computes the same, out of place.
        axis: the channel axis of the input, None where it is unknown.
        channels: entries of that axis.
        dtype: of the input.
        count: how often one forward pass comes by.
        inputs, histogram: of the inputs, all channels together.
        gate: its output is a factor of a product with another tensor.
        output: its output is returned by the model.
        aliased: it writes into its input, which is read again under its old name.
        of_data: its input depends on what the model is given.
        conflict: why its executions do not go together, or empty.
    """

    place: Place
    module: nn.Module | None
    function: Callable[..., Any] | None
    native: nn.Module
    axis: int | None
    channels: int
    dtype: torch.dtype
    inputs: Moments
    histogram: Histogram
    count: int = 1
    gate: bool = False
    output: bool = False
    aliased: bool = False
    of_data: bool = True
    conflict: str = ""

    def merge(self, other: Call, measured: bool) -> None:
        """Take over another execution of the same place."""
        if not same(self.native, other.native):
            self.conflict = f"it computes {self.native} and {other.native} in turn"
        elif (self.axis, self.channels) != (other.axis, other.channels):
            widths = f"{self.channels} and {other.channels} channels"
            self.conflict = f"one place in the source that sees {widths}"
        for flag in ("gate", "output", "aliased", "of_data"):
            setattr(self, flag, getattr(self, flag) or getattr(other, flag))
        if measured:
            self.inputs = self.inputs.merge(other.inputs)
            self.histogram = self.histogram.merge(other.histogram)
