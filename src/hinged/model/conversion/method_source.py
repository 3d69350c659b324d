"""Reads the source code of a method, and verifies that it is the code that runs."""

from __future__ import annotations

import ast
import inspect
import sys
from types import CodeType, FunctionType

from hinged.model.conversion.same_code import same_code

_FUTURE_FLAGS = 0x1FF0000  # Flags of `from __future__ import` in code objects.


class CannotRewriteError(Exception):
    """Raised if a method cannot be rewritten; its text says why."""


def method_of_class(owner: type, name: str) -> tuple[type, FunctionType]:
    """Return the class that defines the method, and the method as a function object.

    The class is `owner` or one of its base classes.

    Raises:
        CannotRewriteError: if the class has no ordinary method of this name.
    """
    base = next((base for base in owner.__mro__ if name in base.__dict__), owner)
    function = base.__dict__.get(name)
    if not inspect.isfunction(function):
        raise CannotRewriteError(f"{owner.__name__}.{name} is not an ordinary method")
    return base, function


def parse_method(base: type, function: FunctionType) -> ast.Module:
    """Return the syntax tree of a method, if the source code still matches the running code.

    The method is in a class inside an outer function. The arguments of the outer function are the
    variables in the closure of the method. All names are therefore looked up as in the original
    method. Lines and columns are those of the source file.

    Args:
        base: the class that defines the method.
        function: the method.

    Raises:
        CannotRewriteError: if the source code is not available or differs from the running code.
    """
    tree = _parse(base, function)
    if not same_code(compile_method(tree, base, function), function.__code__):
        raise CannotRewriteError(
            f"the source code of {function.__qualname__} differs from the running code"
        )
    return tree


def _parse(base: type, function: FunctionType) -> ast.Module:
    name = function.__qualname__
    try:
        lines, first_line = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise CannotRewriteError(f"the source code of {name} is not available") from None
    source = "".join(lines)
    is_indented = source[:1].isspace()
    try:
        tree = ast.parse(f"class {base.__name__}:\n{source}" if is_indented else source)
    except SyntaxError:
        raise CannotRewriteError(f"the source code of {name} cannot be parsed separately") from None
    ast.increment_lineno(tree, first_line - (2 if is_indented else 1))
    method = tree.body[0].body[0] if isinstance(tree.body[0], ast.ClassDef) else tree.body[0]
    if not isinstance(method, ast.FunctionDef):
        raise CannotRewriteError(f"{name} is not an ordinary function")
    method.decorator_list = []
    class_node = ast.ClassDef(base.__name__, [], [], [method], [])
    outer = [ast.arg(each) for each in function.__code__.co_freevars if each != "__class__"]
    arguments = ast.arguments([], outer, None, [], [], None, [])
    # The method may use the name of its class, which is a variable of the closure or a global name.
    is_local = base.__name__ in function.__code__.co_freevars
    body: list[ast.stmt] = [] if is_local else [ast.Global([base.__name__])]
    factory = ast.FunctionDef("factory", arguments, [*body, class_node], [])
    if sys.version_info >= (3, 12):
        class_node.type_params = factory.type_params = []
    # The compiler encodes calls of functions in imported modules in another way than method calls.
    names = [name for name, value in function.__globals__.items() if inspect.ismodule(value)]
    imports: list[ast.stmt] = [ast.Import([ast.alias(name)]) for name in names]
    return ast.fix_missing_locations(ast.Module([*imports, factory], []))


def method_node(tree: ast.Module) -> ast.FunctionDef:
    """Return the method in a syntax tree from `parse_method`."""
    class_node = tree.body[-1].body[-1]  # type: ignore[attr-defined]
    method: ast.FunctionDef = class_node.body[0]
    return method


def compile_method(tree: ast.Module, base: type, function: FunctionType) -> CodeType:
    """Return the code object of the method in a syntax tree from `parse_method`."""
    original = function.__code__
    code: CodeType = compile(
        tree,
        original.co_filename,
        "exec",
        flags=original.co_flags & _FUTURE_FLAGS,
        dont_inherit=True,
    )
    for name in ("factory", base.__name__, original.co_name):
        found = [each for each in code.co_consts if isinstance(each, CodeType)]
        inner = next((each for each in found if each.co_name == name), None)
        if inner is None:
            raise CannotRewriteError(
                f"the source code of {function.__qualname__} differs from the running code"
            )
        code = inner
    return code
