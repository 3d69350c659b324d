"""The activations that a user names in `activations=[...]`: module classes and functions."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from types import FrameType, FunctionType
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import resolve_name

from hinged import errors
from hinged.model.conversion.activation_functions import (
    is_activation,
    module_of,
    name_of,
)

Activation = type[nn.Module] | Callable[..., Tensor]
"""A module class or a function that computes an elementwise activation."""


class NamedActivations(NamedTuple):
    """Activations that a user has named.

    Attributes:
        types: module classes.
        torch_names: names of functions of torch, without an underscore at the end.
        python_functions: functions that are written in Python.
    """

    types: tuple[type[nn.Module], ...] = ()
    torch_names: frozenset[str] = frozenset()
    python_functions: tuple[FunctionType, ...] = ()

    @classmethod
    def of(cls, activations: Sequence[Activation]) -> NamedActivations:
        """Return the activations in the argument `activations` of `hinged.convert`."""
        functions = [each for each in activations if not isinstance(each, type)]
        own = [each for each in functions if isinstance(each, FunctionType) and not _name(each)]
        return cls(
            tuple(each for each in activations if isinstance(each, type)),
            frozenset(_name(each) for each in functions if _name(each)),
            tuple(own),
        )

    def module_of(
        self, function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> nn.Module | None:
        """Return a module that computes the same as a call of a torch function, if not in place.

        The result is None if the function is no activation.

        Args:
            function: the torch function that is called.
            args: the positional arguments of the call.
            given: the keyword arguments of the call.
        """
        if is_activation(function):
            return module_of(function, args, given)
        name = name_of(function).removesuffix("_")
        if name not in self.torch_names:
            return None
        if any(isinstance(each, Tensor) for each in (*args[1:], *given.values())):
            return None
        return _clamp(args, given) if name == "clamp" else FunctionOfInput(function, args, given)


class FunctionOfInput(nn.Module):
    """A function of one tensor, with fixed values for all other arguments.

    Args:
        function: the function.
        args: the positional arguments. The first one is replaced by the input of the module.
        given: the keyword arguments.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> None:
        super().__init__()
        self.function, self.arguments, self.keywords = function, args[1:], given

    def forward(self, x: Tensor) -> Tensor:
        """Return the value of the function for `x`. The tensor `x` does not change."""
        result: Tensor = self.function(x.clone(), *self.arguments, **self.keywords)
        return result

    def __repr__(self) -> str:
        keywords = [f"{name}={value!r}" for name, value in self.keywords.items()]
        return f"{name_of(self.function)}({', '.join([*map(repr, self.arguments), *keywords])})"


def _clamp(args: tuple[Any, ...], given: dict[str, Any]) -> nn.Module:
    """Return the module for a call of `torch.clamp`, if possible one that a curve equals."""
    limits = dict(zip(("min", "max"), args[1:], strict=False)) | given
    low, high = limits.get("min"), limits.get("max")
    if low == 0 and high is None:
        return nn.ReLU()
    if isinstance(low, Real) and isinstance(high, Real) and low < high:
        return nn.Hardtanh(float(low), float(high))
    return FunctionOfInput(Tensor.clamp, (None,), {"min": low, "max": high})


def _name(function: Any) -> str:
    """Return the name of a torch function without an underscore at its end; empty for others."""
    return name_of(function).removesuffix("_") if resolve_name(function) else ""


def check_activations(activations: Any, call: str) -> None:
    """Raise `ArgumentError` unless the argument `activations` lists module classes and functions.

    Args:
        activations: what the user passed.
        call: the name of the public function for error messages.
    """
    listed = isinstance(activations, list | tuple)
    for each in activations if listed else [activations]:
        kind = _kind(each)
        if not listed or not kind:
            hint = f"expected a list of classes, for example activations=[{type(each).__name__}]"
            if kind:
                hint = f"expected a list of {kind}, for example activations=[{each.__name__}]"
            elif not isinstance(each, nn.Module):
                hint = (
                    "expected a list of your own activation classes, which are nn.Module, and of "
                )
                hint += "functions of Python or torch"
            call = f"{call}(activations=...)"
            is_class = kind == "classes"
            got = f"the class {each.__name__} itself" if is_class else errors.shown(each)
            raise errors.ArgumentError(errors.message(call, got, hint))


def _kind(activation: Any) -> str:
    if isinstance(activation, type) and issubclass(activation, nn.Module):
        return "classes"
    is_known = inspect.isroutine(activation) and resolve_name(activation)
    return "functions" if isinstance(activation, FunctionType) or is_known else ""


Enter = Callable[[FrameType], None]
Leave = Callable[[FunctionType, FrameType, Any], None]


@contextlib.contextmanager
def python_calls_watched(
    functions: Sequence[FunctionType], enter: Enter, leave: Leave
) -> Iterator[None]:
    """Watch the calls of Python functions during a `with` block.

    Args:
        functions: the functions.
        enter: is called when one of the functions starts, with its stack frame.
        leave: is called when the function ends, with the function, the frame and the result. The
            result is None if the function raises an error.

    Raises:
        ArgumentError: if a profiler such as `cProfile` watches all calls already.
    """
    before: Any = sys.getprofile()
    if functions and before is not None and not callable(before):
        got = f"the Python function {functions[0].__name__} while a profiler runs"
        hint = "stop the profiler before this call, because only one can watch the function"
        raise errors.ArgumentError(errors.message("hinged.convert(activations=...)", got, hint))
    codes = {each.__code__ for each in functions}
    running: dict[FrameType, FunctionType] = {}

    def watch(frame: FrameType, event: Any, argument: Any) -> None:
        if event == "call" and frame.f_code in codes:
            for function in functions:
                if _executes(frame, function):
                    running[frame] = function
                    enter(frame)
                    break
        elif event == "return" and frame in running:
            leave(running.pop(frame), frame, argument)
        if before is not None:
            before(frame, event, argument)

    if functions:
        sys.setprofile(watch)
    try:
        yield
    finally:
        if functions:
            sys.setprofile(before)


def _executes(frame: FrameType, function: FunctionType) -> bool:
    """Return whether a stack frame executes a function. Several functions can have the same code,
    with other variables in their closures."""
    code = function.__code__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    variables = {name: cell.cell_contents for name, cell in cells}
    return frame.f_code is code and all(
        frame.f_locals.get(name) is value for name, value in variables.items()
    )


def arguments_in(frame: FrameType) -> tuple[Any, ...]:
    """Return the arguments of the function that a stack frame starts to execute."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    return tuple(frame.f_locals[name] for name in code.co_varnames[:count])
