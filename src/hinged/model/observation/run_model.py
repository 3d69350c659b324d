"""Calls a model on data and leaves no trace in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors

ModelInputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a model."""


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


def batches(model: nn.Module, data: Any, call: str) -> Iterator[ModelInputs]:
    """Yield positional and keyword arguments of each batch, on the device of the model.

    Args:
        model: the model that is to be called.
        data: one batch or an iterable of batches. A batch is the model's input (a tensor), its
            keyword arguments (a dictionary), or a pair that begins with those or with a tuple of
            positional arguments, the targets behind.
        call: how messages name the caller.

    Raises:
        ArgumentError: no batches, or one of another kind.
    """
    device = _device(model)
    count = 0
    for args, kwargs in _batches(data, call):
        yield tuple(_to(x, device) for x in args), {k: _to(x, device) for k, x in kwargs.items()}
        count += 1
    if not count:
        got, hint = "no batches", "an iterator that was used up? Give a DataLoader or a list"
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _kind(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type


def _to(x: Any, device: torch.device) -> Any:
    return x.to(device) if isinstance(x, Tensor) else x


def _batches(data: Any, call: str) -> Iterator[ModelInputs]:
    """Yield positional and keyword arguments of each batch."""
    single = isinstance(data, Tensor | tuple | dict)
    if isinstance(data, tuple) and len(data) > 2:
        got = f"a tuple of {len(data)}"
        hint = "expected a pair (inputs, targets); give several batches as a list"
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))
    if not single and not isinstance(data, Iterable):
        hint = "expected a tensor, a tuple, a dictionary or an iterable of those"
        got = f"a {type(data).__name__}"
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))
    for batch in [data] if single else data:
        yield _inputs(batch, call)


def _inputs(batch: Any, call: str) -> ModelInputs:
    """Return what a batch gives the model: all of it, or its first part where it has several."""
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if isinstance(inputs, dict):
        return (), inputs
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, tuple | list) and inputs and isinstance(inputs[0], Tensor):
        return tuple(inputs), {}
    hint = "expected a tensor, a dictionary, or a pair that begins with one or with a tuple of them"
    got = f"a batch that is a {type(batch).__name__}"
    raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))


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
