"""Rewrites a method of one module so that calls such as `F.relu(x)` become calls of curves.

The source code of the method is parsed, and the call expressions are replaced. The result is
compiled and stored as an attribute of the instance. The class is not changed.
"""

from __future__ import annotations

import ast
import functools
import inspect
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from hinged.model.conversion.call_syntax import CallPattern, find_call, input_of
from hinged.model.conversion.method_source import (
    compile_method,
    method_node,
    method_of_class,
    parse_method,
)

CURVES_CHILD = "hinged"
"""Name of the child module that contains the curves for the rewritten methods of a module."""


class MethodCurves(nn.ModuleDict):
    """Holds the curves that the rewritten methods of a module call, by name."""


@dataclass(frozen=True)
class CallReplacement:
    """Says which call in a method becomes a call of which curve.

    Attributes:
        pattern: what identifies the call in the source code.
        curve: the name of the curve in the child module `CURVES_CHILD`.
        is_counted: whether the rewritten method counts how often it has executed the call, to
            select the curve. This is needed if the call is in a loop, or if the called function
            can change.
    """

    pattern: CallPattern
    curve: str
    is_counted: bool


class RewrittenMethod:
    """A method of one module in which calls of activations are replaced by calls of curves.

    The object is stored as an attribute of the module, and hides the method of the class. When the
    module is copied or unpickled, the method is rewritten again for the new module.

    Args:
        owner: the module.
        name: the name of the method.
        replacements: the calls that are replaced.
    """

    def __init__(
        self, owner: nn.Module, name: str, replacements: tuple[CallReplacement, ...]
    ) -> None:
        self.__self__ = owner
        self.__name__ = name
        self.replacements = replacements
        owner_type: Any = type(owner)
        self.__func__ = rewrite_method(owner_type, name, replacements)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.__func__.__get__(self.__self__))

    @property
    def __code__(self) -> CodeType:
        return self.__func__.__code__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the rewritten method on its module, and return its result."""
        return self.__func__(self.__self__, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return RewrittenMethod, (self.__self__, self.__name__, self.replacements)


def method_name(owner: nn.Module, code: CodeType) -> str:
    """Return the name of the method of the module `owner` whose code object is `code`.

    The name is empty if the module has no such method, for example because a subclass overrides the
    method. It is also empty if the module has the same method under several names.
    """
    rewritten = {
        name: value for name, value in vars(owner).items() if isinstance(value, RewrittenMethod)
    }
    names = [name for name, method in rewritten.items() if method.__code__ is code]
    owner_type: Any = type(owner)
    names += [name for name in _names_in_class(owner_type, code) if name not in rewritten]
    return names[0] if len(names) == 1 else ""


@functools.lru_cache(maxsize=4096)
def _names_in_class(owner: Any, code: CodeType) -> tuple[str, ...]:
    attributes: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        attributes.update(base.__dict__)
    return tuple(
        name
        for name, value in attributes.items()
        if inspect.isfunction(value) and value.__code__ is code
    )


@functools.cache
def rewrite_method(
    owner: Any, name: str, replacements: tuple[CallReplacement, ...]
) -> FunctionType:
    """Return a copy of a method in which calls of activations are replaced by calls of curves.

    The copy has the line numbers, the name and the closure of the original method.

    Args:
        owner: the class.
        name: the name of the method.
        replacements: the calls that are replaced.

    Raises:
        CannotRewriteError: if the source code is not available or differs from the running code, or
            if one of the `replacements` does not match exactly one call.
    """
    base, function = method_of_class(owner, name)
    code = function.__code__
    tree = parse_method(base, function)
    for replacement in replacements:
        _replace_call(tree, replacement, self_name=code.co_varnames[0])
    ast.fix_missing_locations(tree)
    new_code = compile_method(tree, base, function)
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in new_code.co_freevars)
    result = FunctionType(
        new_code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    result.__kwdefaults__ = function.__kwdefaults__
    result.__qualname__ = function.__qualname__
    result.__module__ = function.__module__
    result.__doc__ = function.__doc__
    result.__annotations__ = function.__annotations__
    return result


def _replace_call(tree: ast.Module, replacement: CallReplacement, self_name: str) -> None:
    call = find_call(tree, replacement.pattern)
    x = input_of(call, replacement.pattern)
    curves = ast.Attribute(ast.Name(self_name, ast.Load()), CURVES_CHILD, ast.Load())
    curve = ast.Attribute(curves, replacement.curve, ast.Load())
    if not replacement.is_counted:
        call.func, call.args, call.keywords = curve, [x], []
        return
    counter = f"_{CURVES_CHILD}_{replacement.curve}"
    method = method_node(tree)
    has_docstring = ast.get_docstring(method, clean=False) is not None
    start = ast.Assign([ast.Name(counter, ast.Store())], ast.List([], ast.Load()))
    method.body.insert(int(has_docstring), start)
    function = call.func
    if replacement.pattern.is_tensor_method:
        function = ast.Constant(None)
        call.args, call.keywords = [x], []
    call.func, call.args = curve, [ast.Name(counter, ast.Load()), function, *call.args]
