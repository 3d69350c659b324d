"""Finds the functions that the methods of a module execute, also inside decorators and wrappers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from torch import nn

from hinged.model.conversion.wrappers import wrapped_in


class Method(NamedTuple):
    """The function that a method of a module executes.

    Attributes:
        name: the name of the method.
        base: the class that defines the method. If the function was bound to a module, as in
            `model.forward = MethodType(function, model)`, the class of this module.
        function: the function. A decorator or another wrapper of the method is not part of it.
        is_bound_to_module: whether the function was bound to a module.
    """

    name: str
    base: Any
    function: Any
    is_bound_to_module: bool = False


def methods_of(owner: nn.Module) -> list[Method]:
    """Return the methods of a module: those of its class, and those bound to the module itself."""
    owner_type: Any = type(owner)
    in_class = list(methods_of_class(owner_type).values())
    known = {each.function for each in in_class}
    bound = [
        Method(name, owner_type, value.__func__, is_bound_to_module=True)
        for name, value in vars(owner).items()
        if isinstance(value, MethodType)
        and value.__self__ is owner
        and isinstance(value.__func__, FunctionType)
        and value.__func__ not in known
    ]
    return in_class + bound


def methods_of_class(owner: Any) -> Mapping[str, Method]:
    """Return the methods of a class by name, including those of its base classes.

    The result is kept until somebody gives the class another method.
    """
    values = (value for base in owner.__mro__ for value in vars(base).values())
    return _methods(owner, tuple(filter(inspect.isfunction, values)))


@functools.lru_cache(maxsize=4096)
def _methods(owner: Any, _present: tuple[FunctionType, ...]) -> Mapping[str, Method]:
    methods: dict[str, Method] = {}
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            methods.pop(name, None)
            if inspect.isfunction(value):
                methods[name] = Method(name, base, _undecorated(base, name, value))
    return methods


def _undecorated(base: type, name: str, value: FunctionType) -> FunctionType:
    """Return the function of a method without its decorators.

    The full name of the function contains the class, so it is known which one is not a decorator.
    """
    functions = [
        part
        for part in wrapped_in(value)
        if isinstance(part, FunctionType)
        and part.__qualname__ == f"{base.__qualname__}.{name}"
        and "__wrapped__" not in vars(part)
    ]
    return functions[0] if len(set(functions)) == 1 else value


def attributes_with(owner: nn.Module, method: Method) -> dict[str, Any]:
    """Return the attributes of a module that execute a method, by name.

    A value is None if the module has the method only from its class. Otherwise it is what the
    module has as its own attribute, such as a wrapper of the method.
    """
    found: dict[str, Any] = {
        name: value for name, value in vars(owner).items() if _executes(value, owner, method)
    }
    in_class = inspect.getattr_static(type(owner), method.name, None)
    if method.name not in vars(owner) and _executes(in_class, owner, method):
        found[method.name] = None
    return found


def _executes(value: Any, owner: nn.Module, method: Method) -> bool:
    return any(
        part is method.function
        or (isinstance(part, MethodType) and part.__func__ is method.function)
        for part in wrapped_in(value, owner)
    )
