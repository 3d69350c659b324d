"""One call of a model with the inputs of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from hinged import errors


@runtime_checkable
class _Movable(Protocol):
    def to(self, device: Any) -> Any: ...


@runtime_checkable
class _Clonable(Protocol):
    def clone(self) -> Any: ...


def is_movable(x: Any) -> bool:
    """Whether `x` holds tensors and has a method `to` that moves them to a device.

    Examples are tensors, packed sequences, and batches of graphs.

    >>> is_movable(torch.zeros(1)), is_movable([torch.zeros(1)]), is_movable(nn.ReLU())
    (True, False, False)
    """
    return isinstance(x, _Movable) and not isinstance(x, nn.Module | type)


@dataclass(frozen=True)
class ModelCall:
    """One call of a model.

    Attributes:
        args: the positional arguments.
        kwargs: the keyword arguments.
        function: a function that takes the model and the arguments, and calls the model. None to
            call the model itself with the arguments.

    >>> ModelCall((torch.ones(2),), {}).run(nn.ReLU())
    tensor([1., 1.])
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    function: Callable[..., Any] | None = None

    def run(self, model: nn.Module) -> Any:
        """Call the model, and return its output."""
        if self.function is not None:
            return self.function(model, *self.args, **self.kwargs)
        return model(*self.args, **self.kwargs)

    def to(self, device: torch.device) -> ModelCall:
        """Return the call with arguments on another device, also in nested lists and mappings."""
        return self._map(lambda x: _move(x, device))

    def copy(self) -> ModelCall:
        """Return a call with copies of the arguments, because a model may write into them."""
        return self._map(_copy)

    def describe(self) -> str:
        """Return the arguments as text for a message."""
        named = [f"{name}={_describe(x)}" for name, x in self.kwargs.items()]
        return ", ".join([*map(_describe, self.args), *named])

    def _map(self, change: Callable[[Any], Any]) -> ModelCall:
        args, kwargs = tree_map(change, (self.args, self.kwargs), is_leaf=is_movable)
        return replace(self, args=args, kwargs=kwargs)


def _move(x: Any, device: torch.device) -> Any:
    if isinstance(x, Tensor):
        return x.to(device)
    if is_movable(x):
        # `to` of a batch of graphs changes the batch itself, so a shallow copy is moved.
        return copy.copy(x).to(device)
    return _map_entries(lambda each: _move(each, device), x)


def _copy(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.clone()
    if is_movable(x):
        return x.clone() if isinstance(x, _Clonable) else copy.deepcopy(x)
    return _map_entries(_copy, x)


def _map_entries(change: Callable[[Any], Any], x: Any) -> Any:
    """Return a copy of a mapping that torch cannot map over, with changed entries.

    Anything else is returned as it is.
    """
    if not isinstance(x, MutableMapping):
        return x
    new = copy.copy(x)
    new.update(tree_map(change, dict(x), is_leaf=is_movable))
    return new


def _describe(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)} and dtype {x.dtype}"
    return errors.class_of(x)
