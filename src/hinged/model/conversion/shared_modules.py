"""Lets a call of one activation module that has several places tell which place it went by."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from hinged.model.conversion.trace import Trace
from hinged.model.tree import all_parents


@dataclass
class Twins:
    """Objects that stand for one module each, at all of its places but the first.

    Attributes:
        originals: the module that each stands for, by the twin's id.
        twins: the objects themselves.
    """

    originals: dict[int, nn.Module] = field(default_factory=dict)
    twins: list[nn.Module] = field(default_factory=list)

    def make(self, module: nn.Module) -> nn.Module:
        """Return a new object with the module's parameters, and containers of its own."""
        twin = copy.copy(module)
        own = {name: value.copy() for name, value in vars(twin).items() if isinstance(value, dict)}
        vars(twin).update(own)
        self.originals[id(twin)] = module
        self.twins.append(twin)
        return twin

    def merge(self, trace: Trace) -> None:
        """Have calls inside of twins be the calls inside of their originals."""
        calls, trace.calls = trace.calls, {}
        for key, call in calls.items():
            original = self.originals.get(id(call.place.owner))
            if original is not None:
                call.place.owner = original
                key = call.place.key
            if key in trace.calls:
                trace.calls[key].count += call.count
            trace.add({key: call}, measured=True)


@contextlib.contextmanager
def apart(model: nn.Module, composites: tuple[type[nn.Module], ...]) -> Iterator[Twins]:
    """Put an object of its own at each place of every module that may be an activation."""
    twins = Twins()
    changed = []
    for places in all_parents(model).values():
        for holder, name in places[1:]:
            module = holder._modules[name]
            assert module is not None
            if _may_be_activation(module, composites):
                changed.append((holder, name, module))
    try:
        for holder, name, module in changed:
            holder._modules[name] = twins.make(module)
        yield twins
    finally:
        for holder, name, module in changed:
            holder._modules[name] = module


def _may_be_activation(module: nn.Module, composites: tuple[type[nn.Module], ...]) -> bool:
    if isinstance(module, (*composites, nn.PReLU)):
        return True
    return not module._modules and not module._parameters and not module._buffers
