"""Runs a model over data, and restores the state of the model afterwards."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from hinged import errors
from hinged.kernels.eager_calls import PLAIN_TYPES
from hinged.model.observation.batches import Batches
from hinged.model.observation.model_call import ModelCall
from hinged.model.observation.random_state import RandomState

process_state = threading.RLock()
"""A thread has this lock while settings of the whole process are changed to observe a model."""


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
                with_gradients_if_needed(functools.partial(call.run, model))


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


# Part of the messages of torch about tensors without gradients.
_NEEDS_GRADIENTS = re.compile(r"requires?[_ ]grad")

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

    The state consists of the buffers, the training flags, the attributes of modules, and the states
    of random number generators. What an attribute contains, such as the entries of a list, is not
    restored. If the model makes layers or parameters of a module in the block, the module keeps
    them and its attributes.

    Some of it belongs to the whole process, so other threads wait at this function meanwhile.

    `nn.MultiheadAttention` and `nn.TransformerEncoder` run without their fast path for evaluation.
    It would skip activations, and make nested tensors of inputs with padding. Functions that
    `torch.compile` has compiled run as they are written.
    """
    with process_state:
        random_state = RandomState(model)
        try:
            with (
                torch.no_grad(),
                _modules_restored(model),
                _without_fast_path(),
                _without_compiled_code(),
            ):
                yield
        finally:
            random_state.restore()


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextlib.contextmanager
def _without_compiled_code() -> Iterator[None]:
    """Run compiled functions as they are written, in a `with` block.

    Compiled code does not call what observes a model. The compiler is loaded only if it is used.
    """
    is_used = "torch._dynamo" in sys.modules
    with torch.compiler.set_stance("force_eager") if is_used else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _modules_restored(model: nn.Module) -> Iterator[None]:
    before = [_ModuleState(module) for module in model.modules()]
    try:
        yield
    finally:
        for state in before:
            state.restore()


class _ModuleState:
    """The buffers and attributes of one module, and its training flag."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attributes = dict(vars(module))
        self.buffers = dict(module._buffers)
        self.copies = {
            name: (buffer, buffer.clone())
            for name, buffer in module._buffers.items()
            if buffer is not None and not is_lazy(buffer)
        }
        self.parts = self._parts()
        self.is_unfinished = isinstance(module, LazyModuleMixin)

    def _parts(self) -> list[object]:
        return [*self.module._modules.values(), *self.module._parameters.values()]

    def restore(self) -> None:
        module, attributes = self.module, vars(self.module)
        for name, (buffer, copied) in self.copies.items():
            _restore_buffer(buffer, copied)
            module._buffers[name] = buffer
        module.training = self.attributes["training"]
        if self.is_unfinished or [*map(id, self._parts())] != [*map(id, self.parts)]:
            return
        for name in attributes.keys() - self.attributes.keys():
            del attributes[name]
        attributes.update(self.attributes)
        for name in module._buffers.keys() - self.buffers.keys():
            del module._buffers[name]
        module._buffers.update(self.buffers)


def _restore_buffer(buffer: Tensor, copy: Tensor) -> None:
    # An expanded buffer cannot be written to, and has not changed.
    if not (_is_plain(buffer) and _are_equal(buffer, copy)):
        with torch.inference_mode(buffer.is_inference()):
            buffer.copy_(copy)


def _are_equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in PLAIN_TYPES and tensor.layout is torch.strided


Result = TypeVar("Result")


def with_gradients_if_needed(run: Callable[[], Result]) -> Result:
    """Run a function that runs a model; turn on gradients if the model computes derivatives itself.

    Some models call `torch.autograd.grad` in their `forward`, for example to get forces from an
    energy. They fail without gradients. The function is then called again with gradients.

    >>> def slope_of_square():
    ...     x = torch.tensor(3.0, requires_grad=True)
    ...     return torch.autograd.grad(x.square(), x)[0].item()
    >>> with torch.no_grad():
    ...     with_gradients_if_needed(slope_of_square)
    6.0
    """
    try:
        return run()
    except (RuntimeError, AssertionError) as error:
        if not torch.is_grad_enabled() and _NEEDS_GRADIENTS.search(str(error)):
            with torch.enable_grad():
                return run()
        raise


@contextlib.contextmanager
def gradients_enabled(model: nn.Module) -> Iterator[None]:
    """Turn gradients on in a `with` block, but let no parameter of a model require a gradient.

    The model then executes what it executes in training. `torch.is_grad_enabled()` is False exactly
    where the model itself turns gradients off. No gradients are recorded, so the model needs no
    additional memory. If gradients were on before, nothing changes.
    """
    made = [each for each in model.parameters() if not is_lazy(each)]
    trained = [each for each in made if each.is_leaf and each.requires_grad]
    if torch.is_grad_enabled():
        trained = []
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in trained:
            with torch.inference_mode(parameter.is_inference()):
                parameter.requires_grad_(True)


def initialize_lazy_modules(model: nn.Module, call: ModelCall) -> bool:
    """Let lazy modules, such as `nn.LazyLinear`, make their parameters in a forward pass.

    Args:
        model: the model.
        call: the call of the model in this forward pass.

    Returns:
        Whether the model had lazy modules without parameters.
    """
    lazy = [
        module
        for module in model.modules()
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()
    ]
    if lazy:
        call.copy().run(model)
    for module in lazy:
        was_run = not isinstance(module, LazyModuleMixin)
        if was_run and isinstance(module, _NormBase):  # This has changed its running means.
            module.reset_running_stats()
    return bool(lazy)
