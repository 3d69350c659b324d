"""Reads the source code of a method, and verifies that it is the code that runs."""

from __future__ import annotations

import ast
import inspect
import sys
from types import CodeType

from hinged.model.conversion.methods import Method
from hinged.model.conversion.same_code import same_code

_FUTURE_FLAGS = 0x1FF0000  # Flags of `from __future__ import` in code objects.


class CannotRewriteError(Exception):
    """Raised if a method cannot be rewritten; its text says why."""


def parse_method(method: Method) -> ast.Module:
    """Return the syntax tree of a method, if the source code still matches the running code.

    The method is in a class inside an outer function. The arguments of the outer function are the
    variables in the closure of the method. All names are therefore looked up as in the original
    method. Lines and columns are those of the source file.

    Raises:
        CannotRewriteError: if the source code is not available or differs from the running code.
    """
    tree = _parse(method)
    if not same_code(compile_method(tree, method), method.function.__code__):
        raise _differs(method)
    return tree


def _differs(method: Method) -> CannotRewriteError:
    name = method.function.__qualname__
    return CannotRewriteError(f"the source code of {name} differs from the running code")


def _parse(method: Method) -> ast.Module:
    function, class_name = method.function, method.base.__name__
    name = function.__qualname__
    try:
        lines, first_line = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise CannotRewriteError(f"the source code of {name} is not available") from None
    source = "".join(lines)
    is_indented = source[:1].isspace()
    try:
        tree = ast.parse(f"class {class_name}:\n{source}" if is_indented else source)
    except SyntaxError:
        raise CannotRewriteError(f"the source code of {name} cannot be parsed separately") from None
    ast.increment_lineno(tree, first_line - (2 if is_indented else 1))
    node = tree.body[0].body[0] if isinstance(tree.body[0], ast.ClassDef) else tree.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise CannotRewriteError(f"{name} is not an ordinary function")
    node.decorator_list = []
    class_node = ast.ClassDef(class_name, [], [], [node], [])
    outer = [ast.arg(each) for each in function.__code__.co_freevars if each != "__class__"]
    arguments = ast.arguments([], outer, None, [], [], None, [])
    # The method may use the name of its class, which is a variable of the closure or a global name.
    is_local = class_name in function.__code__.co_freevars
    body: list[ast.stmt] = [] if is_local else [ast.Global([class_name])]
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


def compile_method(tree: ast.Module, method: Method) -> CodeType:
    """Return the code object of the method in a syntax tree from `parse_method`."""
    original = method.function.__code__
    code: CodeType = compile(
        tree,
        original.co_filename,
        "exec",
        flags=original.co_flags & _FUTURE_FLAGS,
        dont_inherit=True,
    )
    for name in ("factory", method.base.__name__, original.co_name):
        inside = [each for each in code.co_consts if isinstance(each, CodeType)]
        found = [each for each in inside if each.co_name == name]
        if not found:
            raise _differs(method)
        code = found[0]
    return code
