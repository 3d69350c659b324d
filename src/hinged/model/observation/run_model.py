"""Runs a model over data, and restores the state of the model afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors

ModelInputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments of one call of a model."""


def run_model(model: nn.Module, data: Any, call: str) -> None:
    """Run the model once over all batches, without gradients, and restore its state afterwards.

    Args:
        model: the model.
        data: one batch or an iterable of batches, in the forms that `model_inputs` describes.
        call: the name of the public function for error messages.

    Raises:
        ArgumentError: if there are no batches, or a batch has another form.
    """
    with state_restored(model):
        for inputs in model_inputs(model, data, call):
            with failures_explained(model, inputs, data, call):
                args, kwargs = inputs
                model(*args, **kwargs)


def failures_explained(
    model: nn.Module, inputs: ModelInputs, data: Any, call: str
) -> AbstractContextManager[None]:
    """Add a note to an error that a model raises: what it received, and how `data` was read.

    Args:
        model: the model.
        inputs: the positional and keyword arguments with which it is called in the `with` block.
        data: the data that the user passed.
        call: the name of the public function.
    """
    return errors.note_on_error(lambda: _explain_failure(model, inputs, data, call))


def _explain_failure(model: nn.Module, inputs: ModelInputs, data: Any, call: str) -> str:
    args, kwargs = inputs
    got = [_describe_input(x) for x in args]
    got += [f"{name}={_describe_input(x)}" for name, x in kwargs.items()]
    explanation = errors.message(
        f"{call}(data=...)",
        f"a batch on which the model raises this error, called with {', '.join(got)}",
        "pass a batch that the model accepts",
    )
    for kind, how in _HOW_DATA_ARE_READ.items():
        if isinstance(data, kind):
            explanation += f" {how}"
    dtypes = {x.dtype for x in (*args, *kwargs.values()) if isinstance(x, Tensor)}
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if own is not None and any(each.is_floating_point and each != own for each in dtypes):
        explanation += f" The parameters of the model have dtype {own}."
    return explanation


_HOW_DATA_ARE_READ = {
    dict: "A dictionary is passed as keyword arguments: model(**batch).",
    list: "A list is read as several batches. If it is one batch of inputs and targets, as a "
    "DataLoader returns, pass tuple(batch).",
    tuple: "A tuple is read as (inputs, targets), and the targets are not passed. For a model with "
    "several inputs, pass ((input_1, input_2), targets).",
}


def _describe_input(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)} and dtype {x.dtype}"
    return errors.class_of(x)


@contextlib.contextmanager
def state_restored(model: nn.Module) -> Iterator[None]:
    """Turn gradients off in a `with` block, and restore the state of the model after the block.

    The state consists of the buffers, the training flags, and the state of torch's random numbers.
    """
    device = _device_of(model)
    devices, device_type = ([], "cuda") if device.type == "cpu" else ([device], device.type)
    random = torch.random.fork_rng(devices, device_type=device_type)
    with torch.no_grad(), _buffers_and_flags_restored(model), random:
        yield


def model_inputs(model: nn.Module, data: Any, call: str) -> Iterator[ModelInputs]:
    """Yield the positional and keyword arguments of each batch, on the device of the model.

    Args:
        model: the model that takes these arguments.
        data: one batch, or an iterable of batches such as a DataLoader. A batch is an input tensor,
            a dictionary of keyword arguments, or a pair `(inputs, targets)` whose targets are
            ignored. The inputs of a pair are a tensor, a dictionary, or a tuple of positional
            arguments.
        call: the name of the public function for error messages.

    Raises:
        ArgumentError: if there are no batches, or a batch has another form.
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
        got = "no batches"
        hint = "pass a DataLoader or a list of batches; an iterator can be used only once"
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
        got = f"a tuple of length {len(data)}"
        hint = "expected one batch as a pair (inputs, targets), or several batches as a list"
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))
    if not single and not isinstance(data, Iterable):
        hint = "expected one batch (a tensor, a pair or a dictionary), or an iterable of batches"
        got = errors.class_of(data)
        raise errors.ArgumentError(errors.message(f"{call}(data=...)", got, hint))
    for batch in [data] if single else data:
        yield _inputs_of_batch(batch, call)


def _inputs_of_batch(batch: Any, call: str) -> ModelInputs:
    """Return the positional and keyword arguments of one batch.

    If the batch is a pair `(inputs, targets)`, the arguments are its inputs.
    """
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if isinstance(inputs, dict):
        return (), inputs
    if isinstance(inputs, Tensor):
        return (inputs,), {}
    if isinstance(inputs, tuple | list) and inputs and isinstance(inputs[0], Tensor):
        return tuple(inputs), {}
    hint = (
        "expected a tensor (torch.as_tensor makes one), a dictionary, or a pair (inputs, targets) "
        "whose inputs are a tensor, a dictionary or a tuple of tensors"
    )
    got = f"a batch that is {errors.class_of(batch)}"
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
