"""Describes one call of an activation in a model, with statistics of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from hinged.model.conversion.activation_functions import same_activation
from hinged.model.conversion.sliced_widths import Widths
from hinged.model.conversion.source_location import SourceLocation
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.moments import Moments


@dataclass(eq=False)
class ActivationCall:
    """One call in the source code of a model that applies an activation, such as `F.relu(x)`.

    The call can be executed several times, for example for several batches. All executions are
    merged into one object.

    Attributes:
        location: where the call is in the source code.
        module: the module that is called; None if a function is called.
        function: the function that is called; None if a module is called.
        arguments: the arguments of the function after its input, as `arguments_by_name` returns
            them; empty if a module is called.
        native: a module that computes the same function as the call, but not in place.
        axis: the channel axis of the input; None if it is not known.
        rank: the number of axes of the input.
        channels: the size of the channel axis; 1 if the axis is not known.
        dtype: the dtype of the input.
        inputs: the mean and variance of the inputs, over all channels together.
        histogram: the histogram of the inputs, over all channels together.
        count: how often one forward pass executes the call.
        is_gate: whether the output is multiplied by another tensor.
        is_output: whether the model returns the output.
        is_in_loss: whether the output contributes with no layer in between to one number that the
            model returns, such as a loss, and to no other tensor that the model returns.
        must_not_be_negative: whether a function such as `sqrt` or `log` is applied to the output.
        is_composed: whether the call is part of a composed activation, such as `x * sigmoid(x)`.
        feeds_layer: whether a layer with parameters comes after the call.
        feeds_trained: whether a layer with trained parameters comes after the call, or no such
            layer has computed its input.
        runs_in_training: whether the model executes the call in training mode.
        gets_gradients: whether gradients of the outputs in training mode flow through the call.
        overwrites_used_input: whether the call works in place, and the model reads the overwritten
            input again later.
        input_is_overwritten: whether the model overwrites the input of the call later.
        channels_are_guessed: whether parameters may not determine the number of channels.
        selected_widths: how many channels the model has selected from each tensor from which the
            channels of the input were selected, in all selections.
        channels_vary: whether the number of channels differs between executions, or could.
        fed_by: `id`s of the parameters of the layers that have computed the input.
        is_fed_by_several: whether other layers have computed the input in another execution.
        is_in_every_pass: whether all passes of a loop around the call are this one call.
        passes: the number of passes of a loop around the call, with those that stay as they are.
        untrained: why training does not reach the call; empty if it does.
        depends_on_data: whether the input of the call depends on the inputs of the model.
        conflict: why one curve layer cannot replace all executions; empty if it can.
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
    arguments: dict[str, Any] = field(default_factory=dict)
    count: int = 1
    is_gate: bool = False
    is_output: bool = False
    is_in_loss: bool = False
    must_not_be_negative: bool = False
    is_composed: bool = False
    feeds_layer: bool = False
    feeds_trained: bool = False
    runs_in_training: bool = False
    gets_gradients: bool = False
    channels_are_guessed: bool = False
    selected_widths: list[Widths] = field(default_factory=list)
    channels_vary: bool = False
    fed_by: frozenset[int] = frozenset()
    is_fed_by_several: bool = False
    is_in_every_pass: bool = False
    passes: int = 1
    untrained: str = ""
    overwrites_used_input: bool = False
    input_is_overwritten: bool = False
    depends_on_data: bool = True
    conflict: str = ""
    rank: int = 0

    @property
    def dim(self) -> int:
        """The channel axis for a curve layer, counted from the last axis.

        Convolutions take inputs without the axis of the batch too, also inside `torch.vmap`.
        """
        if self.axis is None:
            return 1
        return self.axis - self.rank if self.axis >= 0 else self.axis

    @property
    def called(self) -> nn.Module | Callable[..., Any] | None:
        """The module or function that is called."""
        return self.function if self.module is None else self.module

    def forget_channels(self) -> None:
        """Note that the number of channels can vary, so that one curve serves all of them."""
        self.axis, self.channels, self.channels_are_guessed = None, 1, False
        self.channels_vary = True

    def merge(self, other: ActivationCall, *, statistics: bool) -> None:
        """Add another execution of the same call to this object.

        Args:
            other: an `ActivationCall` that describes the other execution.
            statistics: whether to add the input statistics of `other` too.
        """
        if not same_activation(self.native, other.native):
            self.conflict = f"this call computes both {self.native} and {other.native}"
        if other.channels_vary or (self.dim, self.channels) != (other.dim, other.channels):
            self.forget_channels()
        self.is_fed_by_several |= other.is_fed_by_several or self.fed_by != other.fed_by
        self.untrained = self.untrained and other.untrained
        self.is_gate |= other.is_gate
        self.is_output |= other.is_output
        self.is_in_loss |= other.is_in_loss
        self.must_not_be_negative |= other.must_not_be_negative
        self.is_composed |= other.is_composed
        self.feeds_layer |= other.feeds_layer
        self.feeds_trained |= other.feeds_trained
        self.runs_in_training |= other.runs_in_training
        self.gets_gradients |= other.gets_gradients
        self.overwrites_used_input |= other.overwrites_used_input
        self.input_is_overwritten |= other.input_is_overwritten
        self.depends_on_data |= other.depends_on_data
        if statistics:
            self.inputs = self.inputs.merge(other.inputs)
            self.histogram = self.histogram.merge(other.histogram)
