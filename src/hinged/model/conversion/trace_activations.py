"""Runs a model, and records the activations that it applies: their location and their inputs."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import arguments_by_name, name_of, writes_in_place
from hinged.model.conversion.channel_axes import ChannelAxes
from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.data_flow import DataFlow
from hinged.model.conversion.frozen_products import call_quickly
from hinged.model.conversion.input_statistics import measure
from hinged.model.conversion.named_activations import (
    FunctionOfInput,
    NamedActivations,
    arguments_in,
    python_calls_watched,
)
from hinged.model.conversion.operations import METADATA, RANDOM, plain_name
from hinged.model.conversion.overwritten_inputs import OverwrittenInputs, changes_of
from hinged.model.conversion.source_location import (
    SourceLocation,
    calling_frames,
    frames_in_model,
    locate_call,
)
from hinged.model.observation.model_call import ModelCall
from hinged.model.observation.run_model import gradients_enabled

_WRAPPED = "the module has its own attribute 'forward', which a curve would not have"


class Trace(NamedTuple):
    """What one execution of a model has shown.

    Attributes:
        calls: the calls of activations by `SourceLocation.key`, in the order of their first
            execution.
        output: the output of the model.
        executed: the `id` of every module that was executed.
        is_random: whether the model drew random numbers, other than those of dropout. It can choose
            by them what it executes.
    """

    calls: dict[Any, ActivationCall]
    output: Any
    executed: set[int]
    is_random: bool


def trace_activations(
    model: nn.Module,
    model_call: ModelCall,
    named: NamedActivations,
    *,
    measured: bool = True,
) -> Trace:
    """Run a model on one batch, and record every activation that it applies.

    Args:
        model: the model.
        model_call: the call of the model with the batch. The model receives copies of the inputs,
            because it may write into them.
        named: module classes and functions that compute an elementwise activation. A module of
            these classes or a call of these functions is recorded as one activation; its inner
            calls are not recorded.
        measured: whether the statistics of inputs are needed.
    """
    model_call = model_call.copy()
    tracer = _ActivationTracer(model, named, measured=measured)
    state = random.getstate()
    with contextlib.ExitStack() as stack:
        stack.enter_context(gradients_enabled(model))
        for module in model.modules():
            handles = [module.register_forward_pre_hook(tracer.enter_module)]
            if tracer.may_be_activation(module):
                leave = module.register_forward_hook(
                    tracer.leave_leaf, with_kwargs=True, always_call=True
                )
                handles += [module.register_forward_pre_hook(tracer.enter_leaf), leave]
            for handle in handles:
                stack.callback(handle.remove)
        # A function of the user may make the inputs of the model, for example from text.
        hook = model.register_forward_pre_hook(tracer.enter_model, with_kwargs=True)
        stack.callback(hook.remove)
        watched = python_calls_watched(
            named.python_functions, tracer.enter_function, tracer.leave_function
        )
        with watched, tracer:
            output = model_call.run(model)
    is_random = tracer.is_random or random.getstate() != state
    return Trace(tracer.finish(output), output, tracer.executed, is_random)


class _Execution(NamedTuple):
    """One execution of a call.

    Attributes:
        key: the `SourceLocation.key` of the call.
        number: the number of the execution in the `DataFlow`.
        call: the record of the call.
        x: the input of this execution.
        y: the output of this execution.
    """

    key: Any
    number: int
    call: ActivationCall
    x: Tensor
    y: Tensor


class _ActivationTracer(TorchFunctionMode):
    """Intercepts every call of a torch function, and records the calls of activations."""

    def __init__(self, model: nn.Module, named: NamedActivations, *, measured: bool) -> None:
        super().__init__()
        self.flow = DataFlow(id(each) for each in model.parameters() if not each.requires_grad)
        self.flow.mark_constants(model.buffers())
        self.flow.mark_constants(model.parameters(), are_parameters=True)
        self.executed: set[int] = set()
        self.is_random = False
        self._model = model
        self._members = {id(module) for module in model.modules()}
        self._training = model.training
        self._measured = measured
        self._named = named
        self._arguments: dict[FrameType, tuple[Any, ...]] = {}
        self._calls: dict[Any, list[tuple[int, ActivationCall]]] = {}
        self._axes = ChannelAxes(self.flow)
        self._running: list[list[_Execution]] = []  # One list for each running module.
        self._counts: dict[FrameType, Counter[Any]] = {}
        self._overwritten = OverwrittenInputs()

    def enter_model(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record that the arguments of the model are data. This is a forward pre-hook."""
        self.flow.mark_inputs(tensors_in((args, kwargs)))

    def finish(self, output: Any) -> dict[Any, ActivationCall]:
        """Return the recorded calls by `SourceLocation.key`, with all their executions merged.

        `output` is the output of the model. It shows which activations the model returns.
        """
        self._counts.clear()
        for tensor in tensors_in(output):
            self._overwritten.note_read(tensor)
        returned, in_losses, trained = self.flow.finish(output)
        merged: dict[Any, ActivationCall] = {}
        for key, executions in self._calls.items():
            for number, call in executions:
                call.is_gate = bool(self.flow.factors >> number & 1)
                call.is_output = bool(returned >> number & 1)
                call.is_in_loss = bool(in_losses >> number & 1)
                call.must_not_be_negative = bool(self.flow.not_negative >> number & 1)
                call.is_composed = bool(self.flow.composed >> number & 1)
                call.feeds_layer = bool(self.flow.feeding_layers >> number & 1)
                is_before_trained = bool(self.flow.feeding_trained >> number & 1)
                call.feeds_trained = is_before_trained or not self.flow.is_trained(call.fed_by)
                call.runs_in_training = self._training
                is_free = call.channels_are_guessed and not call.feeds_layer
                if is_free or any(len(widths) > 1 for widths in call.selected_widths):
                    call.forget_channels()
                call.gets_gradients = self._training and bool(trained >> number & 1)
            (_, first), *others = executions
            first.count += len(others)
            for _, other in others:
                first.merge(other, statistics=True)
            merged[key] = first
        return merged

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        self._note_reads(func, args, given)
        if not args and isinstance(given.get("input"), Tensor):
            rest = {name: value for name, value in given.items() if name != "input"}
            native = self._named.module_of(func, (given["input"],), rest)
            if native is not None:
                return self._run_activation(func, (given["input"],), rest, native)
        elif args and isinstance(args[0], Tensor):
            native = self._named.module_of(func, args, given)
            if native is not None:
                return self._run_activation(func, args, given, native)
        first = args[0] if args else None
        before = changes_of(first)
        result = call_quickly(func, args, given)
        if isinstance(first, Tensor) and changes_of(first) != before:
            self._overwritten.note_overwriting(first)
        self._axes.follow(func, args, given, result)
        self.flow.follow(func, args, given, result)
        return result

    def _note_reads(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> None:
        name = plain_name(name_of(func))
        self.is_random |= name in RANDOM
        for tensor in [] if name in METADATA else tensors_in((args, given)):
            self._overwritten.note_read(tensor)

    def _run_activation(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        given: dict[str, Any],
        native: nn.Module,
    ) -> Tensor:
        x: Tensor = args[0]
        location = self._locate_call(func)
        call = self._new_call(location, func, native, x)
        call.arguments = arguments_by_name(func, args[1:], given)
        y: Tensor = func(*args, **given)
        if "out" in given:
            call.conflict = "it writes into a tensor that is passed as out=..."
        if writes_in_place(func, args, given):
            self._overwritten.note_write(x, call)
            y = y.clone()  # Keeps later reads of `x` and `y` apart.
        self._axes.copy_axis(x, y)
        number = self.flow.note_execution(x, y, tensors_in((args[1:], given)))
        self._add(_Execution(location.key, number, call, x, y))
        return y

    def _locate_call(
        self, called: nn.Module | Callable[..., Any], inside: FrameType | None = None
    ) -> SourceLocation:
        """Return the location of the call that is being executed.

        `occurrence` is counted for each stack frame. It starts at 0 in every execution of a method.

        Args:
            called: the module or function that is called.
            inside: the frame of the Python function that is called, if it is one of the user.
        """
        all_frames = calling_frames()
        if inside in all_frames:
            all_frames = all_frames[all_frames.index(inside) + 1 :]
        frames = frames_in_model(all_frames, self._members)
        self._counts = {frame: self._counts[frame] for frame in frames if frame in self._counts}
        location, frame = locate_call(frames)
        location.in_other_module = frames is not all_frames
        if id(location.owner) not in self._members:  # For example, a method that calls `convert`.
            location.owner = None
        location.called = id(called)
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
        axis, origin = self._axes.axis_of(x), self.flow.origin_of(x)
        found = measure(x, measured=self._measured)
        call = ActivationCall(
            location,
            module=called if isinstance(called, nn.Module) else None,
            function=None if is_module else called,
            native=native,
            axis=axis,
            channels=1 if axis is None else x.shape[axis],
            dtype=x.dtype,
            inputs=found.moments,
            histogram=found.histogram,
            channels_are_guessed=self._axes.is_guess(x),
            selected_widths=self._axes.widths.selected_from(x),
            fed_by=origin.parameters,
            depends_on_data=origin.depends_on_data,
            conflict=found.failure,
            rank=x.dim(),
        )
        self._overwritten.note_input(x, call)
        return call

    def _add(self, execution: _Execution) -> None:
        if self._running:
            self._running[-1].append(execution)
        else:
            calls = self._calls.setdefault(execution.key, [])
            calls.append((execution.number, execution.call))

    def may_be_activation(self, module: nn.Module) -> bool:
        """Return whether a module may be one activation: it has no children, or no parameters."""
        is_leaf = next(module.children(), None) is None
        has_parameters = next(module.parameters(), None) is not None
        return is_leaf or not has_parameters or isinstance(module, self._named.types)

    def enter_module(self, module: nn.Module, _args: tuple[Any, ...]) -> None:
        """Note that a module is executed. This is a forward pre-hook."""
        self.executed.add(id(module))

    def enter_leaf(self, _module: nn.Module, _args: tuple[Any, ...]) -> None:
        """Note that a module starts to run. This is a forward pre-hook."""
        self._running.append([])

    def enter_function(self, frame: FrameType) -> None:
        """Note that a Python function starts to run that is an activation."""
        self._running.append([])
        self._arguments[frame] = arguments_in(frame)

    def leave_function(self, function: FunctionType, frame: FrameType, output: Any) -> None:
        """Note that a Python function has finished, and record it as an activation."""
        executions = self._running.pop()
        args = self._arguments.pop(frame)
        others = args[1:]
        is_elementwise = bool(args) and not any(isinstance(each, Tensor) for each in others)
        shapes = [each.shape for each in (*args[:1], output) if isinstance(each, Tensor)]
        if is_elementwise and len(shapes) == 2 and shapes[0] == shapes[1]:
            location = self._locate_call(function, inside=frame)
            names = frame.f_code.co_varnames[1 : len(args)]
            native = FunctionOfInput(function, args[:1], dict(zip(names, others, strict=True)))
            call = self._new_call(location, function, native, args[0])
            call.arguments = dict(zip(names, others, strict=True))
            self._axes.copy_axis(args[0], output)
            number = self.flow.note_execution(args[0], output)
            executions = [_Execution(location.key, number, call, args[0], output)]
        for execution in executions:
            self._add(execution)

    def leave_leaf(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Note that a module has finished, and record its activations. This is a forward hook.

        If the module did nothing but apply one activation, the module is recorded as the activation
        itself.
        """
        executions = self._running.pop()
        if output is None:  # The module raised an error.
            executions = []
        elif len(args) + len(kwargs) == 1 and (args or "input" in kwargs):  # As for a curve.
            (x,) = (*args, *kwargs.values())
            executions = self._executions_of_module(module, x, output, executions)
        parameters = list(module.parameters(recurse=False))
        outputs = tensors_in(output)
        if parameters and not all(map(self.flow.is_known, outputs)):
            self.flow.note_layer(tensors_in((args, kwargs)), outputs, parameters)
        for execution in executions:
            self._add(execution)

    def _executions_of_module(
        self, module: nn.Module, x: Any, output: Any, executions: list[_Execution]
    ) -> list[_Execution]:
        """Return the executions of a module that has finished, or one execution of the module.

        Args:
            module: the module.
            x: the only argument of the module.
            output: what the module returned.
            executions: the activations that the module has applied.
        """
        is_leaf = next(module.children(), None) is None
        is_wrapped = "forward" in vars(module)  # A curve in place of the module would lose this.
        if isinstance(module, self._named.types) or self._is_composed(module, x, output):
            location = self._locate_call(module)
            call = self._new_call(location, module, module, x)
            call.conflict = _WRAPPED if is_wrapped else call.conflict
            self._axes.copy_axis(x, output)
            number = self.flow.note_execution(x, output)
            return [_Execution(location.key, number, call, x, output)]
        if is_leaf and len(executions) == 1 and not is_wrapped:
            _, number, call, inner_x, y = executions[0]
            if inner_x is x and y is output:
                call.location = self._locate_call(module)
                call.module, call.function = module, None
                return [_Execution(call.location.key, number, call, x, y)]
        return executions

    def _is_composed(self, module: nn.Module, x: Any, output: Any) -> bool:
        """Return whether a module has computed a composed activation such as `x * sigmoid(x)`.

        The model itself does not count, because a curve cannot take its place in the user's code.
        """
        return (
            module is not self._model
            and isinstance(x, Tensor)
            and isinstance(output, Tensor)
            and next(module.parameters(), None) is None
            and self.flow.is_composed_activation(x, output)
        )
