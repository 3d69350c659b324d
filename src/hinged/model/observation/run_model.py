"""Runs a model over data, and restores the state of the model afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observation.batches import Batches
from hinged.model.observation.model_call import ModelCall


def run_model(model: nn.Module, batches: Batches) -> None:
    """Run the model once over all batches, without gradients, and restore its state afterwards.

    Args:
        model: the model.
        batches: the batches, as the user gave them.

    Raises:
        ArgumentError: if there are no batches, or a batch has another form.
    """
    with state_restored(model):
        for call in batches.calls(model):
            with failures_explained(model, call, batches):
                call.run(model)


def failures_explained(
    model: nn.Module, call: ModelCall, batches: Batches
) -> AbstractContextManager[None]:
    """Add a note to an error that a model raises: what it received, and how the data were read.

    Args:
        model: the model.
        call: its call in the `with` block.
        batches: the batches, as the user gave them.
    """
    return errors.note_on_error(lambda: _explain_failure(model, call, batches))


def _explain_failure(model: nn.Module, call: ModelCall, batches: Batches) -> str:
    explanation = errors.message(
        f"{batches.caller}(data=...)",
        f"a batch on which the model raises this error, called with {call.describe()}",
        "pass a batch that the model accepts",
    )
    if call.function is not None:
        return explanation
    for kind, how in _HOW_DATA_ARE_READ.items():
        if isinstance(batches.data, kind):
            explanation += f" {how}"
    explanation += " For other forms of input, pass call=lambda model, batch: ..."
    dtypes = {x.dtype for x in (*call.args, *call.kwargs.values()) if isinstance(x, Tensor)}
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if own is not None and any(each.is_floating_point and each != own for each in dtypes):
        explanation += f" The parameters of the model have dtype {own}."
    return explanation


_HOW_DATA_ARE_READ = {
    Mapping: "A mapping is passed as keyword arguments, model(**batch), if `forward` takes its "
    "keys by name. Otherwise it is the one argument.",
    list: "A list is read as several batches. If it is one batch of inputs and targets, as a "
    "DataLoader returns, pass tuple(batch).",
    tuple: "A tuple is read as (inputs, targets), and the targets are not passed. For a model with "
    "several inputs, pass ((input_1, input_2), targets).",
}


@contextlib.contextmanager
def state_restored(model: nn.Module) -> Iterator[None]:
    """Turn gradients off in a `with` block, and restore the state of the model after the block.

    The state consists of the buffers, the training flags, and the state of torch's random numbers.

    `nn.MultiheadAttention` and `nn.TransformerEncoder` run without their fast path for evaluation.
    It would skip activations, and make nested tensors of inputs with padding.
    """
    device = _device_of(model)
    devices, device_type = ([], "cuda") if device.type == "cpu" else ([device], device.type)
    random = torch.random.fork_rng(devices, device_type=device_type)
    with torch.no_grad(), _buffers_and_flags_restored(model), random, _without_fast_path():
        yield


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


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
