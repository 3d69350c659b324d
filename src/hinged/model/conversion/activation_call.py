"""One call of an activation in a model, and statistics of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hinged.model.conversion.activation_functions import same_activation
from hinged.model.conversion.source_location import SourceLocation
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.moments import Moments


@dataclass(eq=False)
class ActivationCall:
    """One call in the source of a model that applies an activation.

    All executions of the call are merged into one object.

    Attributes:
        location: where the call is in the source.
        module: the module that is called; None for a function.
        function: the function that is called; None for a module.
        native: a module that computes the same and does not write into its input.
        axis: the channel axis of the input; None if it is not known.
        channels: size of the channel axis; 1 if it is not known.
        dtype: of the input.
        inputs: moments of the inputs, all channels together.
        histogram: histogram of the inputs, all channels together.
        count: how often one forward pass executes the call.
        is_gate: the output is multiplied by another tensor.
        is_output: the model returns the output.
        overwrites_used_input: it writes into its input, which the model reads again later.
        depends_on_data: the input depends on the inputs of the model.
        conflict: why one curve layer cannot serve all executions; empty if it can.
    """

    location: SourceLocation
    module: nn.Module | None
    function: Callable[..., Any] | None
    native: nn.Module
    axis: int | None
    channels: int
    dtype: torch.dtype
    inputs: Moments
    histogram: Histogram
    count: int = 1
    is_gate: bool = False
    is_output: bool = False
    overwrites_used_input: bool = False
    depends_on_data: bool = True
    conflict: str = ""

    def merge(self, other: ActivationCall, *, statistics: bool) -> None:
        """Add another execution of the same call, with or without the statistics of its inputs."""
        if not same_activation(self.native, other.native):
            self.conflict = f"it computes both {self.native} and {other.native}"
        elif (self.axis, self.channels) != (other.axis, other.channels):
            widths = f"{self.channels} and {other.channels} channels"
            self.conflict = f"this one call has inputs with {widths}"
        self.is_gate |= other.is_gate
        self.is_output |= other.is_output
        self.overwrites_used_input |= other.overwrites_used_input
        self.depends_on_data |= other.depends_on_data
        if statistics:
            self.inputs = self.inputs.merge(other.inputs)
            self.histogram = self.histogram.merge(other.histogram)
