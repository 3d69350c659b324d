"""Finds the curve layers of which a model expects more than a call: a class or an attribute.

It also finds activation modules whose settings the model changes.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import nn

from hinged.model.observation.run_model import process_state
from hinged.nn import PiecewiseLinear


def keep_attributes(original: nn.Module, layer: PiecewiseLinear) -> None:
    """Give a curve layer the attributes of the activation module that it replaces.

    For example, a layer in place of `nn.LeakyReLU(0.2)` has the attribute `negative_slope` then.
    Attributes that a curve layer has itself stay as they are. Parameters and buffers are left out.
    """
    kept = {
        name: value
        for name, value in vars(original).items()
        if not name.startswith("_") and inspect.getattr_static(layer, name, None) is None
    }
    vars(layer).update({name: value for name, value in kept.items() if name not in vars(layer)})


@contextlib.contextmanager
def note_reads(
    replaced: Mapping[PiecewiseLinear, nn.Module],
    settings: Iterable[tuple[PiecewiseLinear, nn.Module, Collection[str]]],
) -> Iterator[dict[Any, str]]:
    """Note during a `with` block which curve layers do not answer as the modules they replace.

    The function `isinstance` and methods of modules that get and set attributes are replaced during
    the block. Only one thread at a time does this.

    Args:
        replaced: the module that each curve layer replaces under its name.
        settings: for curve layers that replace a call, a module that stays in the model, and the
            names of its attributes on which the call depends.

    Yields:
        A dictionary from curve layers to sentences that say what the model expects. It is filled
        during the block.
    """
    found: dict[Any, str] = {}

    def watch_class(value: Any, classes: Any) -> bool:
        answer = is_instance(value, classes)
        if not answer and type(value) is PiecewiseLinear and value in replaced:
            original = replaced[value]
            if is_instance(original, classes):
                found[value] = f"the model tests whether it is a {type(original).__name__}"
        return answer

    def watch_attribute(layer: PiecewiseLinear, name: str) -> Any:
        with contextlib.suppress(AttributeError):
            return nn.Module.__getattr__(layer, name)
        if layer in replaced:
            with contextlib.suppress(AttributeError):
                getattr(replaced[layer], name)
                found[layer] = f"the model reads its attribute {name!r}"
        return nn.Module.__getattr__(layer, name)

    watched = [*((layer, layer, vars(module)) for layer, module in replaced.items()), *settings]

    def watch_setting(module: nn.Module, name: str, value: Any) -> None:
        for layer in (
            layer for layer, place, names in watched if place is module and name in names
        ):
            if name[0] != "_" and name not in ("inplace", "training"):
                found[layer] = f"the model sets the attribute {name!r}, on which it depends"
        set_attribute(module, name, value)

    with process_state:
        is_instance, set_attribute = builtins.isinstance, nn.Module.__setattr__
        with (
            _replaced(builtins, "isinstance", watch_class),
            _replaced(PiecewiseLinear, "__getattr__", watch_attribute),
            _replaced(nn.Module, "__setattr__", watch_setting),
        ):
            yield found


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give a module or a class another attribute during a `with` block."""
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
