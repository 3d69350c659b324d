"""Statistics of the inputs and outputs of each layer of curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hinged.model.observation.histogram import Histogram
from hinged.model.observation.line_counts import LineCounts
from hinged.model.observation.mergeable import Mergeable, S, merge_across_processes
from hinged.model.observation.moments import Moments
from hinged.model.observation.run_model import run_model
from hinged.model.observation.subsample import subsample
from hinged.nn import PiecewiseLinear, curve_layers

T = TypeVar("T", bound="InputStatistics")
MakeStatistics = Callable[[PiecewiseLinear, Tensor, Tensor], S]
"""Makes the statistics of one call of a layer from the layer, its input and its output."""


@dataclass(frozen=True, eq=False)
class InputStatistics(Mergeable):
    """Statistics of a layer's inputs by channel. `hinged.calibrate` needs them.

    Attributes:
        inputs: moments of the inputs.
        histogram: histogram of the inputs.
        lines: how many inputs fell on each line.
    """

    inputs: Moments
    histogram: Histogram
    lines: LineCounts

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> InputStatistics:
        """Return the statistics of one call. One curve for all channels counts as one channel."""
        return InputStatistics(*_input_statistics(layer, x))

    def merge(self: T, other: T) -> T:
        """Return the statistics of the calls of both."""
        parts = {name: part.merge(getattr(other, name)) for name, part in vars(self).items()}
        return type(self)(**parts)


@dataclass(frozen=True, eq=False)
class LayerStatistics(InputStatistics):
    """Statistics of a layer's inputs and outputs by channel.

    Attributes:
        outputs: moments of the outputs.
        absolute_outputs: moments of the absolute values of the outputs.
    """

    outputs: Moments
    absolute_outputs: Moments

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, y: Tensor) -> LayerStatistics:
        """Return the statistics of one call. One curve for all channels counts as one channel."""
        axes = (layer.channels, layer.dim)
        outputs, absolute = Moments.of(y, *axes), Moments.of(y.abs(), *axes)
        return LayerStatistics(*_input_statistics(layer, x), outputs, absolute)


def _input_statistics(layer: PiecewiseLinear, x: Tensor) -> tuple[Moments, Histogram, LineCounts]:
    axes = (layer.channels, layer.dim)
    lines = LineCounts.of(x, layer.hinges, *axes)
    return Moments.of(x, *axes), Histogram.of(x, *axes), lines


class StatisticsCollector(Generic[S]):
    """Collects statistics of layers from every forward pass, until `remove()` or the `with` ends.

    Args:
        layers: the layers by name.
        make: makes the statistics of one call.
        training: ignore calls without gradients, which are not training steps, and use a part of
            large batches.

    Attributes:
        statistics: what was collected so far, by the layer's name.
    """

    def __init__(
        self,
        layers: Mapping[str, PiecewiseLinear],
        make: MakeStatistics[S],
        *,
        training: bool = False,
    ) -> None:
        self.layers = dict(layers)
        self.make: MakeStatistics[S] = make
        self.training = training
        self.statistics: dict[str, S] = {}
        self._handles = [
            layer.register_forward_hook(self._make_hook(name)) for name, layer in layers.items()
        ]

    def remove(self) -> None:
        """Stop collecting."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> StatisticsCollector[S]:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _make_hook(self, name: str) -> Callable[..., None]:
        def add_call(layer: PiecewiseLinear, args: tuple[Any, ...], y: Tensor) -> None:
            if self.training and (torch.compiler.is_compiling() or not torch.is_grad_enabled()):
                return
            with torch.no_grad():
                x = args[0]
                channels_on_first_axis = layer.channels > 1 and layer.dim in (0, -x.dim())
                if self.training and not channels_on_first_axis:
                    x, y = subsample(x), subsample(y)
                new, old = self.make(layer, x, y), self.statistics.get(name)
                self.statistics[name] = new if old is None else old.merge(new)

        return add_call


def merge_layers_across_processes(
    layers: Mapping[str, PiecewiseLinear], statistics: Mapping[str, T], make: MakeStatistics[T]
) -> dict[str, T]:
    """Return the statistics of layers over all processes, in the order of the layers.

    Every process must call it. Layers without inputs in any process are left out.
    """
    merged: dict[str, T] = {}
    for name, layer in layers.items():
        local = statistics[name] if name in statistics else make(layer, *_empty_batch(layer))
        total = merge_across_processes(local)
        if (total.inputs.count + total.inputs.nonfinite).any():
            merged[name] = total
    return merged


def _empty_batch(layer: PiecewiseLinear) -> tuple[Tensor, Tensor]:
    """Return an input and an output of the layer without any entries."""
    shape = [0] * (abs(layer.dim) + 2)
    shape[layer.dim] = layer.channels
    return (layer.values.detach().new_empty(shape),) * 2


def collect_statistics(
    model: nn.Module, data: Any, call: str = "hinged.model.collect_statistics"
) -> dict[str, LayerStatistics]:
    """Return the statistics of each `PiecewiseLinear` of a model while it runs once over `data`.

    `collect_custom_statistics` describes the arguments, the result and the errors.
    """
    return collect_custom_statistics(model, data, LayerStatistics.of, call)


def collect_custom_statistics(
    model: nn.Module, data: Any, make: MakeStatistics[S], call: str
) -> dict[str, S]:
    """Return statistics that `make` computes from each `PiecewiseLinear`, its inputs and outputs.

    The model runs once over `data` without gradients, in its current mode (training or evaluation).
    Buffers (such as the statistics of BatchNorm), training flags and the random state are restored
    afterwards. Memory does not grow with the data. A layer that is used in several places has one
    entry.

    Args:
        model: any module with `PiecewiseLinear` layers.
        data: one batch (a tensor, a pair of inputs and targets, or a dictionary of keyword
            arguments), or an iterable of such batches.
        make: makes the statistics of one call from the layer, its input and its output.
        call: the name of the caller in error messages.

    Returns:
        Statistics by the layer's name in the model. Layers that no data reached are left out.

    Raises:
        ArgumentError: a model without such layers, no batches, or a batch of an unknown kind.
    """
    with StatisticsCollector(curve_layers(model, call), make) as collector:
        run_model(model, data, call)
    return collector.statistics
