"""Runs a model over data to see what reaches its curves, and leaves no trace in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observe import Histogram, LineCounts, Moments, S, Summary
from hinged.nn import PiecewiseLinear


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
    layers = curve_layers(model, call)
    seen: dict[str, S] = {}

    def observer(name: str) -> Any:
        def observe(layer: PiecewiseLinear, args: tuple[Any, ...], y: Tensor) -> None:
            new = of(layer, args[0], y)
            seen[name] = seen[name].merge(new) if name in seen else new

        return observe

    with contextlib.ExitStack() as stack:
        for name, layer in layers.items():
            handle = layer.register_forward_hook(observer(name))
            stack.callback(handle.remove)
        run(model, data, call)
    return seen


def curve_layers(model: nn.Module, call: str) -> dict[str, PiecewiseLinear]:
    """Return the layers of curves by name, or raise `ArgumentError` where there are none."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    if not layers:
        came = f"a {type(model).__name__} without any hinged.PiecewiseLinear"
        raise errors.ArgumentError(errors.sentence(call, came, "convert the model first"))
    return layers


def run(model: nn.Module, data: Any, call: str) -> None:
    """Call the model on every batch, without gradients and without a trace."""
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    devices = [] if device.type == "cpu" else [device]
    count = 0
    with (
        torch.no_grad(),
        _as_before(model),
        torch.random.fork_rng(devices, device_type=_kind(device)),
    ):
        for args, kwargs in _batches(data, call):
            model(*(_to(x, device) for x in args), **{k: _to(x, device) for k, x in kwargs.items()})
            count += 1
    if not count:
        came, cure = "no batches", "an iterator that was used up? Give a DataLoader or a list"
        raise errors.ArgumentError(errors.sentence(f"{call}(data=...)", came, cure))


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
