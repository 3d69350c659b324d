"""Runs a model and notes every activation it applies, where in the source, and to what."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from hinged.model.conversion.activation_calls import (
    is_activation,
    module_of,
    name_of,
    writes_in_place,
)
from hinged.model.conversion.call_site import Place, calling_frames, place_of
from hinged.model.conversion.calls import Call
from hinged.model.conversion.channel_axes import MOVES, Axes, tensors_in
from hinged.model.conversion.overwritten_inputs import Overwritten
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.moments import Moments
from hinged.model.observation.subsample import subsample

_PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
# What reads a tensor's form and not its numbers.
_FORM = {"size", "dim", "shape", "dtype", "device", "ndim", "numel", "__len__", "is_contiguous"}


@dataclass
class Trace:
    """What running a model has shown.

    Attributes:
        calls: every activation applied, in the order of the first pass.
        notes: sentences on what could not be looked at.
    """

    calls: dict[Any, Call] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, passed: dict[Any, Call], measured: bool) -> None:
        """Take over what one forward pass has shown; an unmeasured one adds places only."""
        for key, call in passed.items():
            if key in self.calls:
                self.calls[key].merge(call, measured)
            else:
                self.calls[key] = call


@contextlib.contextmanager
def tracing(model: nn.Module, composites: tuple[type[nn.Module], ...]) -> Iterator[_Tracer]:
    """Note the activations of one forward pass that is made inside.

    Args:
        model: the model that will be called.
        composites: modules that are activations as a whole, whatever they call inside.
    """
    tracer = _Tracer(composites)
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, composites) or not any(True for _ in module.children()):
                before = module.register_forward_pre_hook(tracer.enter)
                after = module.register_forward_hook(
                    tracer.leave, with_kwargs=True, always_call=True
                )
                stack.callback(before.remove)
                stack.callback(after.remove)
        tracer.hold((*model.parameters(), *model.buffers()))
        stack.enter_context(tracer)
        yield tracer


@dataclass
class _Entered:
    """A module that is being executed, and the activations it has applied so far."""

    module: nn.Module
    calls: list[tuple[Any, Call, Tensor, Tensor]] = field(default_factory=list)


class _Tracer(TorchFunctionMode):
    """Sees every torch function, with the Python frame it is called from."""

    def __init__(self, composites: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._calls: dict[Any, list[Call]] = {}
        self._composites = composites
        self._axes = Axes()
        self._entered: list[_Entered] = []
        self._frames: dict[FrameType, Counter[Any]] = {}
        self._overwritten = Overwritten()
        self._made_by = WeakTensorKeyDictionary()
        self._still = WeakTensorKeyDictionary()

    def hold(self, tensors: Iterable[Tensor]) -> None:
        """Note tensors that do not depend on what the model is given."""
        for tensor in tensors:
            self._still[tensor] = True

    def _depends(self, inputs: list[Tensor]) -> bool:
        return any(tensor not in self._still for tensor in inputs)

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
            return self._activation(func, args, given)
        if is_activation(func) and isinstance(given.get("input"), Tensor):
            rest = {name: value for name, value in given.items() if name != "input"}
            return self._activation(func, (given["input"], *args), rest)
        result = func(*args, **given)
        self._axes.follow(func, args, given, result)
        if not self._depends(tensors_in((args, given))):
            self.hold(tensors_in(result))
        else:  # What it has written into does from now on.
            for tensor in tensors_in((result, args[:1] if name_of(func) == "__setitem__" else ())):
                self._still.pop(tensor, None)
        if name_of(func) in MOVES and args and isinstance(args[0], Tensor):
            call = self._made_by.get(args[0])
            for out in tensors_in(result) if call is not None else []:
                self._made_by[out] = call
        return result

    def finish(self, output: Any) -> dict[Any, Call]:
        """Return the calls of the pass, given what the model returned."""
        self._frames.clear()
        for tensor in tensors_in(output):
            if tensor in self._made_by:
                self._made_by[tensor].output = True
            self._overwritten.read(tensor)
        for first, *others in self._calls.values():
            first.count += len(others)
            for other in others:
                first.merge(other, measured=True)
        return {key: calls[0] for key, calls in self._calls.items()}

    def enter(self, module: nn.Module, _args: tuple[Any, ...]) -> None:
        """Note that a module begins."""
        self._entered.append(_Entered(module))

    def leave(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Note that a module ends: where all it did was to apply an activation, it is one."""
        entered = self._entered.pop()
        alone = len(args) == 1 and not kwargs  # As a curve can be called.
        if output is None:  # It raised.
            calls = []
        elif isinstance(module, self._composites) and alone:
            calls = [self._composite(module, args[0], output)]
        elif len(entered.calls) == 1 and alone and _is_all(entered.calls[0], args[0], output):
            calls = [self._as_module(module, entered.calls[0])]
        else:
            calls = entered.calls
        for key, call, x, y in calls:
            self._note(key, call, x, y)

    def _activation(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Tensor:
        x: Tensor = args[0]
        place, key = self._place(calling_frames())
        call = self._call(place, func, module_of(func, args, given), x)
        out: Tensor = func(*args, **given)
        if "out" in given:
            call.conflict = "it writes into the tensor that out=... gives"
        if writes_in_place(func, args, given):
            self._overwritten.write(x, call)
            out = out.clone()  # Another object, so that reading the old one can be told.
        self._axes.alias(x, out)
        self._made_by[out] = call
        if not call.of_data:
            self.hold([out])
        self._note(key, call, x, out)
        return out

    def _composite(self, module: nn.Module, x: Tensor, y: Tensor) -> tuple[Any, Call, Any, Any]:
        place, key = self._place(calling_frames())
        call = self._call(place, module, module, x)
        self._axes.alias(x, y)
        self._made_by[y] = call
        return key, call, x, y

    def _as_module(
        self, module: nn.Module, one: tuple[Any, Call, Tensor, Tensor]
    ) -> tuple[Any, Call, Tensor, Tensor]:
        """Return the call of a function in a module as a call of the module."""
        _, call, x, y = one
        call.place, key = self._place(calling_frames())
        call.module, call.function = module, None
        return key, call, x, y

    def _place(self, frames: list[FrameType]) -> tuple[Place, Any]:
        """Return the place of the innermost frame, and a key for it which counts how often one
        execution of the method has been there."""
        self._frames = {frame: self._frames[frame] for frame in frames if frame in self._frames}
        place, frame = place_of(frames)
        counts = self._frames.setdefault(frame, Counter())
        place.occurrence = counts[place.position]
        counts[place.position] += 1
        return place, place.key

    def _call(
        self, place: Place, called: nn.Module | Callable[..., Any], native: nn.Module, x: Tensor
    ) -> Call:
        module = called if isinstance(called, nn.Module) else None
        axis = self._axes.of(x)
        channels = 1 if axis is None else x.shape[axis]
        seen = torch.zeros(0, device=x.device)
        if x.is_floating_point():
            seen = subsample(x.detach().flatten()).contiguous()
        return Call(
            place,
            module,
            None if module is called else called,
            native,
            axis,
            channels,
            x.dtype,
            Moments.of(seen),
            Histogram.of(seen),
            of_data=self._depends([x]),
        )

    def _note(self, key: Any, call: Call, x: Tensor, y: Tensor) -> None:
        if self._entered:
            self._entered[-1].calls.append((key, call, x, y))
            return
        self._calls.setdefault(key, []).append(call)

    def _note_reads(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> None:
        name = name_of(func)
        read = [] if name in _FORM else tensors_in((args, given))
        for tensor in read:
            self._overwritten.read(tensor)
        if name in _PRODUCTS and len(read) == 2 and all(tensor.numel() > 1 for tensor in read):
            for tensor in read:
                if tensor in self._made_by:
                    self._made_by[tensor].gate = True


def _is_all(one: tuple[Any, Call, Tensor, Tensor], x: Any, output: Any) -> bool:
    """Whether a call took the module's input and gave its output."""
    return one[2] is x and one[3] is output


def copied(inputs: Any) -> Any:
    """Return nested lists, tuples and dictionaries with copies of their tensors, which the model
    may write into."""
    return tree_map_only(Tensor, Tensor.clone, inputs)
