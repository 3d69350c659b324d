"""Runs a model over data and restores its state afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors

ModelInputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of a model."""


def run_model(model: nn.Module, data: Any, call: str) -> None:
    """Call the model on every batch, without gradients, and restore its state afterwards.

    `model_inputs` describes `data`, `call` and the errors.
    """
    with state_restored(model):
        for args, kwargs in model_inputs(model, data, call):
            model(*args, **kwargs)


@contextlib.contextmanager
def state_restored(model: nn.Module) -> Iterator[None]:
    """Turn gradients off, and restore buffers, training flags and random state at the end."""
    device = _device_of(model)
    devices, device_type = ([], "cuda") if device.type == "cpu" else ([device], device.type)
    random = torch.random.fork_rng(devices, device_type=device_type)
    with torch.no_grad(), _buffers_and_flags_restored(model), random:
        yield


def model_inputs(model: nn.Module, data: Any, call: str) -> Iterator[ModelInputs]:
    """Yield the positional and keyword arguments for each batch, on the device of the model.

    Args:
        model: the model that takes these inputs.
        data: one batch or an iterable of batches. A batch is the model's input (a tensor), its
            keyword arguments (a dictionary), or a pair of inputs and targets. The inputs of a pair
            are a tensor, a dictionary, or a tuple of positional arguments.
        call: the name of the caller in error messages.

    Raises:
        ArgumentError: no batches, or a batch of an unknown kind.
    """
    device = _device_of(model)
    empty = True
    for args, kwargs in _split_batches(data, call):
        yield (
            tuple(_moved_to(device, x) for x in args),
            {name: _moved_to(device, x) for name, x in kwargs.items()},
        )
        empty = False
    if empty:
        got, hint = "no batches", "an iterator that was used up? Give a DataLoader or a list"
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _moved_to(device: torch.device, x: Any) -> Any:
    return x.to(device) if isinstance(x, Tensor) else x


def _split_batches(data: Any, call: str) -> Iterator[ModelInputs]:
    """Yield the positional and keyword arguments of each batch."""
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
        yield _inputs_of_batch(batch, call)


def _inputs_of_batch(batch: Any, call: str) -> ModelInputs:
    """Return the model's inputs: the whole batch, or its first part where it has several."""
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
def _buffers_and_flags_restored(model: nn.Module) -> Iterator[None]:
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
