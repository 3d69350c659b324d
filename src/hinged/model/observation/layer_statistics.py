"""What reaches the curves of a model, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hinged.model.observation.histogram import Histogram, LineCounts, Moments
from hinged.model.observation.mergeable import S, Summary, across_processes
from hinged.model.observation.run_model import run
from hinged.model.observation.subsample import subsample
from hinged.nn import PiecewiseLinear, curve_layers

T = TypeVar("T", bound="InputStatistics")
Make = Callable[[PiecewiseLinear, Tensor, Tensor], S]


@dataclass(frozen=True, eq=False)
class InputStatistics(Summary):
    """What a layer of curves took in, by channel: what calibrating needs.

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
        """Return the summary of one call; a layer with one curve for all counts as one channel."""
        return InputStatistics(*_taken_in(layer, x))

    def merge(self: T, other: T) -> T:
        """Return the summary of what both have seen."""
        parts = {name: part.merge(getattr(other, name)) for name, part in vars(self).items()}
        return type(self)(**parts)


@dataclass(frozen=True, eq=False)
class LayerStatistics(InputStatistics):
    """What a layer of curves took in and gave out, by channel.

    Attributes:
        outputs: moments of the outputs.
        sizes: moments of the absolute outputs.
    """

    outputs: Moments
    sizes: Moments

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, y: Tensor) -> LayerStatistics:
        """Return the summary of one call; a layer with one curve for all counts as one channel."""
        axes = (layer.channels, layer.dim)
        return LayerStatistics(
            *_taken_in(layer, x), Moments.of(y, *axes), Moments.of(y.abs(), *axes)
        )


def _taken_in(layer: PiecewiseLinear, x: Tensor) -> tuple[Moments, Histogram, LineCounts]:
    axes = (layer.channels, layer.dim)
    lines = LineCounts.of(x, layer.hinges, *axes)
    return Moments.of(x, *axes), Histogram.of(x, *axes), lines


class Collector(Generic[S]):
    """Merges what layers see, from now on until it is removed or its `with` block ends.

    Args:
        layers: the layers by name.
        make: makes a summary of one call from the layer, its inputs and its outputs.
        training: leave out calls without gradients, which are not training, and thin out large
            batches.

    Attributes:
        seen: the summaries so far, by the layer's name.
    """

    def __init__(
        self, layers: Mapping[str, PiecewiseLinear], make: Make[S], *, training: bool = False
    ) -> None:
        self.layers = dict(layers)
        self.make: Make[S] = make
        self.training = training
        self.seen: dict[str, S] = {}
        self._handles = [
            layer.register_forward_hook(self._observer(name)) for name, layer in layers.items()
        ]

    def remove(self) -> None:
        """Stop collecting."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Collector[S]:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _observer(self, name: str) -> Callable[..., None]:
        def observe(layer: PiecewiseLinear, args: tuple[Any, ...], y: Tensor) -> None:
            if self.training and (torch.compiler.is_compiling() or not torch.is_grad_enabled()):
                return
            with torch.no_grad():
                x = args[0]
                channels_on_first_axis = layer.channels > 1 and layer.dim in (0, -x.dim())
                if self.training and not channels_on_first_axis:
                    x, y = subsample(x), subsample(y)
                new = self.make(layer, x, y)
                self.seen[name] = self.seen[name].merge(new) if name in self.seen else new

        return observe


def merged(
    layers: Mapping[str, PiecewiseLinear], seen: Mapping[str, T], make: Make[T]
) -> dict[str, T]:
    """Return what layers saw in all processes, each of which must call this, in the order of the
    layers; those that saw nothing anywhere are left out."""
    found: dict[str, T] = {}
    for name, layer in layers.items():
        all_saw = across_processes(seen[name] if name in seen else make(layer, *_nothing(layer)))
        if (all_saw.inputs.count + all_saw.inputs.lost).any():
            found[name] = all_saw
    return found


def collect_statistics(
    model: nn.Module, data: Any, call: str = "hinged.model.collect_statistics"
) -> dict[str, LayerStatistics]:
    """Return what each `PiecewiseLinear` of a model sees while it runs over `data` once.

    As `collect`, with all that `LayerStatistics` holds.
    """
    return collect(model, data, LayerStatistics.of, call)


def collect(
    model: nn.Module, data: Any, of: Callable[[PiecewiseLinear, Tensor, Tensor], S], call: str
) -> dict[str, S]:
    """Return a summary of what each `PiecewiseLinear` of a model takes in and gives out.

    The model runs as it is, in training or evaluation mode, without gradients. Buffers (the
    statistics of BatchNorm among them), training flags and the state of the random numbers are
    afterwards what they were; nothing is kept but sums. A layer used in several places is one.

    Args:
        model: any module with `PiecewiseLinear` layers.
        data: one batch (a tensor, a pair of inputs and targets, or a dictionary of keyword
            arguments), or an iterable of such batches, where the inputs come first.
        of: makes the summary of one call, from the layer, its input and its output.
        call: how messages name the caller.

    Returns:
        By the layer's name in the model; layers that no data reached are left out.

    Raises:
        ArgumentError: a model without such layers, no batches, or a batch of another kind.
    """
    with Collector(curve_layers(model, call), of) as collector:
        run(model, data, call)
    return collector.seen


def _nothing(layer: PiecewiseLinear) -> tuple[Tensor, Tensor]:
    """Return an input and an output of the layer without any entries."""
    shape = [0] * (abs(layer.dim) + 2)
    shape[layer.dim] = layer.channels
    return (layer.values.detach().new_empty(shape),) * 2
