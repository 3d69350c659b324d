"""Statistics of the inputs and outputs of each curve layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.line_counts import LineCounts
from hinged.model.observation.mergeable import Mergeable, S, merge_across_processes
from hinged.model.observation.moments import Moments
from hinged.model.observation.run_model import run_model
from hinged.model.observation.subsample import subsample
from hinged.nn import PiecewiseLinear, curve_layers

T = TypeVar("T", bound="InputStatistics")
MakeStatistics = Callable[[PiecewiseLinear, Tensor, Tensor], S]
"""Type of a function that computes statistics of one call of a layer.

Its arguments are the layer, the input of the call and the output of the call.
"""


@dataclass(frozen=True, eq=False)
class InputStatistics(Mergeable):
    """Statistics of the inputs of a curve layer, for each channel. `hinged.calibrate` uses them.

    Attributes:
        inputs: count, mean, spread and extremes of the inputs.
        histogram: the histogram of the inputs.
        lines: how many inputs fell on each line, that is, on each piece and tail of the curve.
    """

    inputs: Moments
    histogram: Histogram
    lines: LineCounts

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> InputStatistics:
        """Return the statistics of one call of a layer.

        A layer with one curve for all channels counts as one channel.

        Args:
            layer: the layer that was called.
            x: the input of the call.
            _y: the output of the call, which is not used.
        """
        return InputStatistics(*_input_statistics(layer, x))

    def merge(self: T, other: T) -> T:
        """Return the statistics of all calls that `self` or `other` describes."""
        parts = {name: part.merge(getattr(other, name)) for name, part in vars(self).items()}
        return type(self)(**parts)


@dataclass(frozen=True, eq=False)
class LayerStatistics(InputStatistics):
    """Statistics of the inputs and outputs of a curve layer, for each channel.

    Attributes:
        outputs: count, mean, spread and extremes of the outputs.
        absolute_outputs: count, mean, spread and extremes of the absolute values of the outputs.
    """

    outputs: Moments
    absolute_outputs: Moments

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, y: Tensor) -> LayerStatistics:
        """Return the statistics of one call of a layer.

        A layer with one curve for all channels counts as one channel.

        Args:
            layer: the layer that was called.
            x: the input of the call.
            y: the output of the call.
        """
        axes = (layer.channels, layer.dim)
        outputs, absolute = Moments.of(y, *axes), Moments.of(y.abs(), *axes)
        return LayerStatistics(*_input_statistics(layer, x), outputs, absolute)


def _input_statistics(layer: PiecewiseLinear, x: Tensor) -> tuple[Moments, Histogram, LineCounts]:
    axes = (layer.channels, layer.dim)
    lines = LineCounts.of(x, layer.hinges, *axes)
    return Moments.of(x, *axes), Histogram.of(x, *axes), lines


class StatisticsCollector(Generic[S]):
    """Collects statistics of layers in every forward pass, until `remove()` is called.

    In a `with` statement, `remove()` is called at the end of the block.

    Args:
        layers: the layers to observe, by name.
        make: a function that computes the statistics of one call from the layer, its input and its
            output.
        training: whether the model is being trained. If True, forward passes without gradients
            (such as validation) are ignored, and only a part of each large batch is used.

    Attributes:
        statistics: the statistics collected so far, by the layer's name.
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
        """Stop collecting. The collected statistics are kept."""
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
    """Return the statistics of each layer over all processes of `torch.distributed`.

    Every process must call this function.

    Args:
        layers: the layers by name, the same in all processes.
        statistics: the statistics of this process, by the layer's name. Layers without inputs can
            be missing.
        make: a function that computes the statistics of one call. It is used to create empty
            statistics.

    Returns:
        The merged statistics by the layer's name, in the order of `layers`. Layers without inputs
        in any process are left out.
    """
    merged: dict[str, T] = {}
    for name, layer in layers.items():
        local = statistics[name] if name in statistics else make(layer, *_empty_batch(layer))
        total = merge_across_processes(local)
        if (total.inputs.count + total.inputs.nonfinite).any():
            merged[name] = total
    return merged


def _empty_batch(layer: PiecewiseLinear) -> tuple[Tensor, Tensor]:
    """Return an input and an output of the layer for a batch of size 0."""
    shape = [0] * (abs(layer.dim) + 2)
    shape[layer.dim] = layer.channels
    return (layer.values.detach().new_empty(shape),) * 2


def collect_statistics(
    model: nn.Module,
    data: Any,
    *,
    call: CallModel | None = None,
    batches: int | None = None,
) -> dict[str, LayerStatistics]:
    """Run a model over data, and return statistics of the inputs and outputs of each curve layer.

    `collect_custom_statistics` does the same for statistics of your choice.

    Args:
        model: any module with `PiecewiseLinear` layers. Its state is restored afterwards.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        The statistics by the layer's name in the model. Layers that the model did not call are left
        out.

    Raises:
        ArgumentError: if the model has no curves, or `data` has no batches or batches of another
            form.
    """
    given = Batches(data, "hinged.model.collect_statistics", call, batches)
    return collect_custom_statistics(model, given, LayerStatistics.of)


def collect_custom_statistics(
    model: nn.Module, batches: Batches, make: MakeStatistics[S]
) -> dict[str, S]:
    """Run a model over data, and return the statistics that `make` computes for each curve layer.

    The model runs once, without gradients, in its current mode (training or evaluation). Buffers
    (such as the running statistics of BatchNorm), training flags and the random state are restored
    afterwards. The memory use does not grow with the data. A layer that is called several times has
    one entry.

    Args:
        model: any module with `PiecewiseLinear` layers.
        batches: the batches, as the user gave them.
        make: a function that computes the statistics of one call from the layer, its input and its
            output.

    Returns:
        The statistics by the layer's name in the model. Layers that the model did not call are left
        out.

    Raises:
        ArgumentError: if the model has no curves, or there are no batches or batches of another
            form.
    """
    with StatisticsCollector(curve_layers(model, batches.caller), make) as collector:
        run_model(model, batches)
    return collector.statistics
