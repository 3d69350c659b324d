"""Runs a model, and records the activations that it applies: their location and their inputs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.kernels.eager_calls import is_intercepted
from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import (
    is_activation,
    module_of,
    name_of,
    writes_in_place,
)
from hinged.model.conversion.channel_axes import REARRANGING, ChannelAxes, tensors_in
from hinged.model.conversion.overwritten_inputs import OverwrittenInputs
from hinged.model.conversion.source_location import (
    SourceLocation,
    calling_frames,
    frames_in_model,
    locate_call,
)
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.model_call import ModelCall
from hinged.model.observation.moments import Moments
from hinged.model.observation.subsample import subsample

_TRANSFORMED = "it is inside a transform of torch.func, where its inputs cannot be measured"
_ELEMENTWISE_PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
# These functions read the shape or the type of a tensor, but not its numbers.
_METADATA = {
    "size",
    "dim",
    "shape",
    "dtype",
    "device",
    "ndim",
    "numel",
    "__len__",
    "is_contiguous",
}


def trace_activations(
    model: nn.Module, model_call: ModelCall, activations: tuple[type[nn.Module], ...]
) -> tuple[dict[Any, ActivationCall], Any]:
    """Run a model on one batch, and record every activation that it applies.

    Args:
        model: the model.
        model_call: the call of the model with the batch. The model receives copies of the inputs,
            because it may write into them.
        activations: module classes that compute an elementwise activation. A module of these
            classes is recorded as one activation; its inner calls are not recorded.

    Returns:
        A pair: a dictionary of the calls, and the output of the model. The keys of the dictionary
        are `SourceLocation.key`. Its order is that of the first execution.
    """
    model_call = model_call.copy()
    tracer = _ActivationTracer(model, activations)
    tracer.mark_independent((*model.parameters(), *model.buffers()))
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            is_leaf = next(module.children(), None) is None
            if is_leaf or isinstance(module, activations):
                before = module.register_forward_pre_hook(tracer.enter_module)
                after = module.register_forward_hook(
                    tracer.leave_module, with_kwargs=True, always_call=True
                )
                stack.callback(before.remove)
                stack.callback(after.remove)
        if model_call.function is not None:  # It may make the inputs, for example from text.
            hook = model.register_forward_pre_hook(tracer.mark_inputs, with_kwargs=True)
            stack.callback(hook.remove)
        with tracer:
            output = model_call.run(model)
    return tracer.finish(output), output


class _Execution(NamedTuple):
    """One execution of a call.

    Attributes:
        key: the `SourceLocation.key` of the call.
        call: the record of the call.
        x: the input of this execution.
        y: the output of this execution.
    """

    key: Any
    call: ActivationCall
    x: Tensor
    y: Tensor


class _ActivationTracer(TorchFunctionMode):
    """Intercepts every call of a torch function, and records the calls of activations."""

    def __init__(self, model: nn.Module, activations: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._members = {id(module) for module in model.modules()}
        self._activations = activations
        self._calls: dict[Any, list[ActivationCall]] = {}
        self._axes = ChannelAxes()
        self._running: list[list[_Execution]] = []  # One list for each running module.
        self._counts: dict[FrameType, Counter[Any]] = {}
        self._overwritten = OverwrittenInputs()
        self._made_by = WeakTensorKeyDictionary()
        self._independent = WeakTensorKeyDictionary()

    def mark_independent(self, tensors: Iterable[Tensor]) -> None:
        """Record that the given tensors do not depend on the inputs of the model."""
        for tensor in tensors:
            self._independent[tensor] = True

    def mark_inputs(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record that the arguments of the model are data. This is a forward pre-hook."""
        for tensor in tensors_in((args, kwargs)):
            self._independent.pop(tensor, None)

    def finish(self, output: Any) -> dict[Any, ActivationCall]:
        """Return the recorded calls by `SourceLocation.key`, with all their executions merged.

        `output` is the output of the model. It shows which activations the model returns.
        """
        self._counts.clear()
        for tensor in tensors_in(output):
            if tensor in self._made_by:
                self._made_by[tensor].is_output = True
            self._overwritten.note_read(tensor)
        for first, *others in self._calls.values():
            first.count += len(others)
            for other in others:
                first.merge(other, statistics=True)
        return {key: calls[0] for key, calls in self._calls.items()}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        self._note_reads(func, args, given)
        if is_activation(func) and args and isinstance(args[0], Tensor):
            return self._run_activation(func, args, given)
        if is_activation(func) and isinstance(given.get("input"), Tensor):
            rest = {name: value for name, value in given.items() if name != "input"}
            return self._run_activation(func, (given["input"], *args), rest)
        result = func(*args, **given)
        self._axes.follow(func, args, given, result)
        self._note_dependence(func, args, given, result)
        if name_of(func) in REARRANGING and args and isinstance(args[0], Tensor):
            call = self._made_by.get(args[0])
            for out in tensors_in(result) if call is not None else []:
                self._made_by[out] = call
        return result

    def _note_reads(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> None:
        name = name_of(func)
        read = [] if name in _METADATA else tensors_in((args, given))
        for tensor in read:
            self._overwritten.note_read(tensor)
        if (
            name in _ELEMENTWISE_PRODUCTS
            and len(read) == 2
            and all(tensor.numel() > 1 for tensor in read)
        ):
            for tensor in read:
                if tensor in self._made_by:
                    self._made_by[tensor].is_gate = True

    def _note_dependence(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any], result: Any
    ) -> None:
        if not self._depends_on_data(tensors_in((args, given))):
            self.mark_independent(tensors_in(result))
            return
        # If `x[...] = y` writes data into a tensor, the tensor depends on the data from now on.
        written = args[:1] if name_of(func) == "__setitem__" else ()
        for tensor in tensors_in((result, written)):
            self._independent.pop(tensor, None)

    def _depends_on_data(self, inputs: list[Tensor]) -> bool:
        return any(tensor not in self._independent for tensor in inputs)

    def _run_activation(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Tensor:
        x: Tensor = args[0]
        location = self._locate_call()
        call = self._new_call(location, func, module_of(func, args, given), x)
        y: Tensor = func(*args, **given)
        if "out" in given:
            call.conflict = "it writes into a tensor that is passed as out=..."
        if writes_in_place(func, args, given):
            self._overwritten.note_write(x, call)
            y = y.clone()  # Keeps later reads of `x` and `y` apart.
        self._axes.copy_axis(x, y)
        self._made_by[y] = call
        if not call.depends_on_data:
            self.mark_independent([y])
        self._add(_Execution(location.key, call, x, y))
        return y

    def _locate_call(self, module: nn.Module | None = None) -> SourceLocation:
        """Return the location of the call that is being executed, of a module or a function.

        `occurrence` is counted for each stack frame. It starts at 0 in every execution of a method.
        """
        all_frames = calling_frames()
        frames = frames_in_model(all_frames, self._members)
        self._counts = {frame: self._counts[frame] for frame in frames if frame in self._counts}
        location, frame = locate_call(frames)
        location.in_other_module = frames is not all_frames
        if id(location.owner) not in self._members:  # For example, a method that calls `convert`.
            location.owner, location.called = None, id(module)
        counts = self._counts.setdefault(frame, Counter())
        location.occurrence = counts[location.span]
        counts[location.span] += 1
        return location

    def _new_call(
        self,
        location: SourceLocation,
        called: nn.Module | Callable[..., Any],
        native: nn.Module,
        x: Tensor,
    ) -> ActivationCall:
        is_module = isinstance(called, nn.Module)
        axis = self._axes.axis_of(x)
        sample = torch.zeros(0, device=x.device)
        is_measurable = not is_intercepted(x)
        if x.is_floating_point() and is_measurable:
            sample = subsample(x.detach().flatten()).contiguous()
        return ActivationCall(
            location,
            module=called if isinstance(called, nn.Module) else None,
            function=None if is_module else called,
            native=native,
            axis=axis,
            channels=1 if axis is None else x.shape[axis],
            dtype=x.dtype,
            inputs=Moments.of(sample),
            histogram=Histogram.of(sample),
            depends_on_data=self._depends_on_data([x]),
            conflict="" if is_measurable else _TRANSFORMED,
        )

    def _add(self, execution: _Execution) -> None:
        if self._running:
            self._running[-1].append(execution)
        else:
            self._calls.setdefault(execution.key, []).append(execution.call)

    def enter_module(self, _module: nn.Module, _args: tuple[Any, ...]) -> None:
        """Note that a module starts to run. This is a forward pre-hook."""
        self._running.append([])

    def leave_module(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Note that a module has finished, and record its activations. This is a forward hook.

        If the module did nothing but apply one activation, the module is recorded as the activation
        itself.
        """
        executions = self._running.pop()
        has_one_input = len(args) == 1 and not kwargs  # A curve has one input.
        if output is None:  # The module raised an error.
            executions = []
        elif isinstance(module, self._activations) and has_one_input:
            (x,) = args
            location = self._locate_call(module)
            call = self._new_call(location, module, module, x)
            self._axes.copy_axis(x, output)
            self._made_by[output] = call
            executions = [_Execution(location.key, call, x, output)]
        elif len(executions) == 1 and has_one_input:
            _, call, x, y = executions[0]
            if x is args[0] and y is output:
                call.location = self._locate_call(module)
                call.module, call.function = module, None
                executions = [_Execution(call.location.key, call, x, y)]
        for execution in executions:
            self._add(execution)
