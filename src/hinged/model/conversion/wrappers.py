"""Finds a function inside its wrappers, such as decorators, and copies the wrappers around another
function.

A wrapper is a function that has the wrapped function in a variable of its closure or as a default
of an argument, a bound method, a `functools.partial`, or an object with an attribute `__wrapped__`.
A function in a notebook can also have the bound method that it wraps in a global variable.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from torch import nn

_MOST_WRAPPERS = 16
_SETTING = {"STORE_DEREF", "DELETE_DEREF", "STORE_GLOBAL", "DELETE_GLOBAL"}
_COMPILED = "_torchdynamo_orig_callable"  # An attribute of functions that `torch.compile` returns.

Replace = Callable[[Any], Any]


def wrapped_in(wrapper: Any, owner: nn.Module | None = None, depth: int = 0) -> Iterator[Any]:
    """Yield `wrapper` and everything that it wraps, from the outermost to the innermost object.

    Bound methods of modules other than `owner` are left out.

    >>> import functools
    >>> inner = lambda x: x
    >>> inner in list(wrapped_in(functools.partial(functools.partial(inner), 3)))
    True
    """
    yield wrapper
    if depth < _MOST_WRAPPERS:
        for part in _parts(wrapper, owner):
            yield from wrapped_in(part, owner, depth + 1)


def wrap_again(
    wrapper: Any,
    replace: Replace,
    owner: nn.Module | None = None,
    new_owner: nn.Module | None = None,
) -> Any:
    """Return a copy of a wrapper in which wrapped objects are replaced.

    Args:
        wrapper: the wrapper. It does not change.
        replace: a function that takes a wrapped object and returns what takes its place. It returns
            the same object if the object itself stays.
        owner: bound methods of modules other than `owner` stay.
        new_owner: the module to which the copies of bound methods of `owner` belong. None means
            `owner`.

    Returns:
        The copy. If nothing was replaced, `wrapper` itself.
    """
    new = replace(wrapper)
    if new is not wrapper:
        return new
    copies = {
        id(part): wrap_again(part, replace, owner, new_owner) for part in _parts(wrapper, owner)
    }
    if all(id(copied) == old for old, copied in copies.items()):
        return wrapper

    def get(part: Any) -> Any:
        return copies.get(id(part), part)

    if isinstance(wrapper, MethodType):
        bound_to = wrapper.__self__
        is_owner = bound_to is owner and new_owner is not None
        return MethodType(get(wrapper.__func__), new_owner if is_owner else bound_to)
    if isinstance(wrapper, functools.partial):
        arguments = {name: get(value) for name, value in wrapper.keywords.items()}
        result: Any = functools.partial(get(wrapper.func), *map(get, wrapper.args), **arguments)
    elif isinstance(wrapper, FunctionType):
        result = _copy_wrapper(wrapper, get)
    else:
        result = object.__new__(type(wrapper))
    vars(result).update({name: get(value) for name, value in vars(wrapper).items()})
    return result


def copy_function(
    function: FunctionType,
    code: CodeType | None = None,
    closure: tuple[CellType, ...] | None = None,
    names: dict[str, Any] | None = None,
) -> FunctionType:
    """Return a copy of a function, if needed with other code, closure or global names."""
    copied = FunctionType(
        code or function.__code__,
        function.__globals__ if names is None else names,
        function.__name__,
        function.__defaults__,
        function.__closure__ if closure is None else closure,
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__qualname__ = function.__qualname__
    copied.__module__ = function.__module__
    copied.__doc__ = function.__doc__
    copied.__annotations__ = function.__annotations__
    return copied


def _parts(wrapper: Any, owner: nn.Module | None) -> list[Any]:
    """Return the functions and wrappers that a wrapper contains directly."""
    found: list[Any] = []
    if isinstance(wrapper, MethodType):
        found = [wrapper.__func__]
    elif isinstance(wrapper, functools.partial):
        found = [wrapper.func, *wrapper.args, *wrapper.keywords.values(), *vars(wrapper).values()]
    elif isinstance(wrapper, FunctionType):
        found = [] if _COMPILED in vars(wrapper) else _parts_of_function(wrapper, owner)
    elif _is_wrapping_object(wrapper):
        found = list(vars(wrapper).values())
    return [each for each in found if _is_wrapper(each) and not _is_bound_elsewhere(each, owner)]


def _is_bound_elsewhere(value: Any, owner: nn.Module | None) -> bool:
    bound_to = value.__self__ if isinstance(value, MethodType) else None
    return isinstance(bound_to, nn.Module) and bound_to is not owner


def _parts_of_function(function: FunctionType, owner: nn.Module | None) -> list[Any]:
    set_names, read_names = _names_in(function.__code__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    variables = [cell.cell_contents for name, cell in cells if name not in set_names and _has(cell)]
    known = [function.__globals__[name] for name in read_names if name in function.__globals__]
    methods = [each for each in known if isinstance(each, MethodType) and each.__self__ is owner]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*variables, *methods, *defaults, vars(function).get("__wrapped__")]


def _is_wrapper(value: Any) -> bool:
    kinds = (FunctionType, MethodType, functools.partial)
    return isinstance(value, kinds) or _is_wrapping_object(value)


def _is_wrapping_object(value: Any) -> bool:
    """Return whether an object wraps a function as `functools.update_wrapper` describes it."""
    own = getattr(value, "__dict__", None)
    is_plain = inspect.getattr_static(type(value), "__new__") is object.__new__
    return is_plain and isinstance(own, dict) and callable(own.get("__wrapped__"))


def _has(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # The variable has no value yet.
        return False
    return True


@functools.cache
def _names_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the outer variables that a function and its inner functions set, and those they read.

    Of the variables that are read, only global ones are returned.
    """
    instructions = list(dis.get_instructions(code))
    set_names = {each.argval for each in instructions if each.opname in _SETTING}
    read_names = {each.argval for each in instructions if each.opname == "LOAD_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_set, inner_read = _names_in(constant)
            set_names, read_names = set_names | inner_set, read_names | inner_read
    return frozenset(set_names), frozenset(read_names - set_names)


class _Globals(dict[str, Any]):
    """Some global variables of a function; for all others, those of the original function."""

    def __init__(self, original: dict[str, Any], changed: dict[str, Any]) -> None:
        super().__init__(changed)
        self._original = original

    def __missing__(self, name: str) -> Any:
        return self._original[name]


def _copy_wrapper(function: FunctionType, get: Replace) -> FunctionType:
    set_names, read_names = _names_in(function.__code__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = tuple(
        CellType(get(cell.cell_contents))
        if name not in set_names
        and _has(cell)
        and get(cell.cell_contents) is not cell.cell_contents
        else cell
        for name, cell in cells
    )
    outer = function.__globals__
    known = {name: outer[name] for name in read_names if name in outer}
    changed = {name: get(value) for name, value in known.items() if get(value) is not value}
    copied = copy_function(
        function, closure=closure, names=_Globals(outer, changed) if changed else None
    )
    copied.__defaults__ = tuple(map(get, function.__defaults__ or ())) or None
    keywords = {name: get(value) for name, value in (function.__kwdefaults__ or {}).items()}
    copied.__kwdefaults__ = keywords or None
    return copied
