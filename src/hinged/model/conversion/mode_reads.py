"""Finds out whether a model executes the same activations in training and in evaluation.

A module knows its mode from its attribute `training`. While a model runs, every read of this
attribute is noted, with the expression that reads it. If no read can change what the model
executes, one run shows the activations of both modes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.mode_syntax import Effect, effect_of_read
from hinged.model.conversion.module_reads import attribute_replaced
from hinged.model.conversion.operations import METADATA, SHAPED_BY_NUMBERS, plain_name
from hinged.model.observation.run_model import state_restored

_OPERATORS = (torch._ops.OperatorBase, torch._ops.OpOverloadPacket)
_MASKS = (torch.bool, torch.uint8)


class ModeReads:
    """Notes during a run of a model whether its other mode could execute other activations.

    The layers of torch, such as dropout and batch normalisation, compute other numbers in the other
    mode, but execute the same. The same holds for functions of torch, such as
    `F.dropout(x, 0.1, self.training)`. If numbers vary, a model may choose by numbers what it
    executes, as in `if x.mean() > 0`. Other reads of `training` are harmless if the expression
    around them has the same value in both modes, such as `self.rate if self.training else 0.0`
    with a rate of 0.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout())
    >>> with (reads := ModeReads()).watched():
    ...     _ = model(torch.ones(1, 2))
    >>> reads.modes_agree
    True
    """

    def __init__(self) -> None:
        self._found: set[Effect] = set()
        self._chooses_by_numbers = False

    @property
    def modes_agree(self) -> bool:
        """Whether the run shows that the other mode executes the same activations."""
        if Effect.ANYTHING in self._found:
            return False
        return not (self._chooses_by_numbers and Effect.NUMBERS in self._found)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note all reads of `training` in a `with` block. Only one thread at a time does this."""
        with attribute_replaced(nn.Module, "training", _WatchedMode(self._note)):
            yield

    def _note(self, frame: FrameType) -> None:
        if Effect.ANYTHING not in self._found:
            self._found.add(effect_of_read(frame))

    def note_function(
        self, function: Callable[..., Any], args: tuple[Any, ...], result: Any
    ) -> None:
        """Note the call of a torch function. By its result, a model may choose what it executes.

        Python code can use a result that is no tensor, such as that of `item`, and the shape of a
        tensor that depends on numbers, such as that of `nonzero`.
        """
        if self._chooses_by_numbers or result is None:
            return
        name = plain_name(name_of(function))
        self._chooses_by_numbers = (
            isinstance(function, _OPERATORS)
            or name in SHAPED_BY_NUMBERS
            or (name == "where" and isinstance(result, tuple))
            or (name == "getitem" and any(x.dtype in _MASKS for x in tensors_in(args[1:])))
            or (name not in METADATA and not tensors_in(result))
        )


class _WatchedMode:
    """A descriptor that takes the place of the attribute `training`, and reports who reads it."""

    def __init__(self, note: Callable[[FrameType], None]) -> None:
        self._note = note

    def __get__(self, module: nn.Module | None, _owner: Any = None) -> Any:
        if module is None or "training" not in vars(module):
            raise AttributeError("training")
        self._note(sys._getframe(1))
        return vars(module)["training"]

    def __set__(self, module: nn.Module, value: Any) -> None:
        vars(module)["training"] = value

    def __delete__(self, module: nn.Module) -> None:
        del vars(module)["training"]


def mode_is_a_flag(model: nn.Module) -> bool:
    """Return whether only the attributes `training` tell the modules of a model their mode.

    A model can have a method `train` of its own that does more.
    """
    if any(map(_has_other_mode, model.modules())):
        return False
    with state_restored(model):
        before = _contents(model)
        model.train(not model.training)
        after = _contents(model)
    return len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))


def _has_other_mode(module: nn.Module) -> bool:
    """Return whether a module does not have its mode as an ordinary attribute."""
    is_in_class = any("training" in vars(base) for base in type(module).__mro__)
    return is_in_class or isinstance(module, torch.jit.ScriptModule)


def _contents(model: nn.Module) -> list[Any]:
    """Return all attributes and parts of the modules of a model, except for their modes.

    For each tensor, the list also contains how often it was written into.
    """
    found: list[Any] = []
    for module in model.modules():
        found += [value for name, value in vars(module).items() if name != "training"]
        tensors = [*module._parameters.values(), *module._buffers.values()]
        found += [*module._modules.values(), *tensors]
        found += [_version(x) for x in tensors if x is not None]
    return found


def _version(x: Tensor) -> int | None:
    """Return how often a tensor was written into; None if torch does not count it."""
    return None if is_lazy(x) or x.is_inference() else x._version
