"""Runs a model over data to see what reaches its curves, and leaves no trace in it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observe import Histogram, LineCounts, Moments, S, Summary, across_processes
from hinged.nn import PiecewiseLinear, curve_layers

T = TypeVar("T", "Seen", "Inputs")
_ENOUGH = 2**16
Make = Callable[[PiecewiseLinear, Tensor, Tensor], S]


@dataclass(frozen=True, eq=False)
class Seen(Summary):
    """What a layer of curves took in and gave out, by channel.

    Attributes:
        inputs: moments of the inputs.
        histogram: histogram of the inputs.
        lines: how many inputs fell on each line.
        outputs: moments of the outputs.
        sizes: moments of the absolute outputs.
    """

    inputs: Moments
    histogram: Histogram
    lines: LineCounts
    outputs: Moments
    sizes: Moments

    @classmethod
    def of(cls, layer: PiecewiseLinear, x: Tensor, y: Tensor) -> Seen:
        """Return the summary of one call; a layer with one curve for all counts as one channel."""
        axes = (layer.channels, layer.dim)
        return cls(
            Moments.of(x, *axes),
            Histogram.of(x, *axes),
            LineCounts.of(x, layer.hinges, *axes),
            Moments.of(y, *axes),
            Moments.of(y.abs(), *axes),
        )

    def merge(self, other: Seen) -> Seen:
        """Return the summary of what both have seen."""
        return Seen(**{name: part.merge(getattr(other, name)) for name, part in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Inputs(Summary):
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
    def of(cls, layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> Inputs:
        """Return the summary of one call; a layer with one curve for all counts as one channel."""
        axes = (layer.channels, layer.dim)
        lines = LineCounts.of(x, layer.hinges, *axes)
        return cls(Moments.of(x, *axes), Histogram.of(x, *axes), lines)

    def merge(self, other: Inputs) -> Inputs:
        """Return the summary of what both have seen."""
        parts = {name: part.merge(getattr(other, name)) for name, part in vars(self).items()}
        return Inputs(**parts)


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
                x, y = _thinned(layer, args[0], y) if self.training else (args[0], y)
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


def watch(model: nn.Module, data: Any, call: str = "hinged.watch") -> dict[str, Seen]:
    """Return what each `PiecewiseLinear` of a model sees while it runs over `data` once.

    As `summarise`, with all that `Seen` holds.
    """
    return summarise(model, data, Seen.of, call)


def summarise(
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


def _thinned(layer: PiecewiseLinear, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return some samples of a large batch, evenly spread: what 2 ** 16 numbers tell is enough."""
    step = math.ceil(x.numel() / _ENOUGH)
    alone = layer.channels > 1 and layer.dim in (0, -x.dim())
    return (x, y) if step <= 1 or alone else (x[::step], y[::step])


def _nothing(layer: PiecewiseLinear) -> tuple[Tensor, Tensor]:
    """Return an input and an output of the layer without any entries."""
    shape = [0] * (abs(layer.dim) + 2)
    shape[layer.dim] = layer.channels
    return (layer.values.detach().new_empty(shape),) * 2


def run(model: nn.Module, data: Any, call: str) -> None:
    """Call the model on every batch, without gradients and without a trace."""
    with undisturbed(model):
        for args, kwargs in batches(model, data, call):
            model(*args, **kwargs)


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Leave buffers, training flags and random state afterwards as they were; no gradients."""
    device = _device(model)
    devices = [] if device.type == "cpu" else [device]
    random = torch.random.fork_rng(devices, device_type=_kind(device))
    with torch.no_grad(), _as_before(model), random:
        yield


def batches(
    model: nn.Module, data: Any, call: str
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield positional and keyword arguments of each batch, where the model is.

    Raises:
        ArgumentError: no batches, or one of another kind than `watch` takes.
    """
    device = _device(model)
    count = 0
    for args, kwargs in _batches(data, call):
        yield tuple(_to(x, device) for x in args), {k: _to(x, device) for k, x in kwargs.items()}
        count += 1
    if not count:
        came, cure = "no batches", "an iterator that was used up? Give a DataLoader or a list"
        raise errors.ArgumentError(errors.sentence(f"{call}(data=...)", came, cure))


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _kind(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


def _to(x: Any, device: torch.device) -> Any:
    return x.to(device) if isinstance(x, Tensor) else x


def _batches(data: Any, call: str) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield positional and keyword arguments of each batch."""
    single = isinstance(data, Tensor | tuple | dict)
    if isinstance(data, tuple) and len(data) > 2:
        came = f"a tuple of {len(data)}"
        cure = "expected a pair (inputs, targets); give several batches as a list"
        raise errors.ArgumentError(errors.sentence(f"{call}(data=...)", came, cure))
    if not single and not isinstance(data, Iterable):
        cure = "expected a tensor, a tuple, a dictionary or an iterable of those"
        came = f"a {type(data).__name__}"
        raise errors.ArgumentError(errors.sentence(f"{call}(data=...)", came, cure))
    for batch in [data] if single else data:
        if isinstance(batch, dict):
            yield (), batch
        elif isinstance(batch, Tensor):
            yield (batch,), {}
        elif isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor):
            yield (batch[0],), {}
        else:
            cure = "expected a tensor, a dictionary, or a tuple that begins with a tensor"
            came = f"a batch that is a {type(batch).__name__}"
            raise errors.ArgumentError(errors.sentence(f"{call}(data=...)", came, cure))


@contextlib.contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """Put back every buffer and every training flag."""
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    flags = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, name, buffer, copy in buffers:
            buffer.copy_(copy)
            module._buffers[name] = buffer
        for module, training in flags:
            module.training = training
