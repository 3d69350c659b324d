"""Finds calls of activations in the syntax tree of a method, and describes them."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch.overrides import resolve_name

from hinged.model.conversion.activation_functions import is_name_of_activation
from hinged.model.conversion.method_source import CannotRewriteError, method_node, parse_method
from hinged.model.conversion.methods import Method

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

Span = tuple[int | None, ...]
"""First line, last line, first column and last column of an expression. Columns count bytes.

Before Python 3.11, only the first line is known. The other entries are then None.
"""


@dataclass(frozen=True)
class CallPattern:
    """What identifies a call in the source code of a method.

    Attributes:
        span: the lines and columns of the call in the source code.
        function_names: names that the called function can have in the source code. They identify
            the call if only its line is known.
        is_tensor_method: whether the call is a method of its input, such as `x.relu()`.
    """

    span: Span
    function_names: tuple[str, ...]
    is_tensor_method: bool


@dataclass(frozen=True)
class CallSyntax:
    """What the source code shows about one call.

    Attributes:
        name: the last name of the called expression; empty if it has none.
        attribute: the name of the attribute of the module that is called, as `setattr` needs it;
            empty if the called expression is no attribute of the module.
        constant: the function that is called, if a global name shows it, as in `F.relu(x)`; None
            for other expressions, whose value can change.
        is_method_of_input: whether the call is written as a method of its input, as `x.relu()`.
        in_loop: whether the call is inside a loop or a comprehension.
        in_nested_function: whether the call is inside a function that the method defines.
        positional: the arguments after the input.
        keywords: the keyword arguments without the input.
    """

    name: str
    attribute: str
    constant: Any
    is_method_of_input: bool
    in_loop: bool
    in_nested_function: bool
    positional: tuple[ast.expr, ...]
    keywords: tuple[ast.keyword, ...]


@functools.cache
def call_syntax(method: Method, pattern: CallPattern) -> CallSyntax:
    """Find a call in the source code of a method, and return its syntax.

    Args:
        method: the method.
        pattern: what identifies the call.

    Raises:
        CannotRewriteError: if the source code does not show the call, or which of its arguments is
            the input.
    """
    tree, function = parse_method(method), method.function
    call = find_call(tree, pattern)
    node = method_node(tree)
    _check_module_name(node, function)
    around = [each for each in ast.walk(node) if each is not node and call in ast.walk(each)]
    x = input_of(call, pattern)
    return CallSyntax(
        last_name(call.func),
        _attribute_of_self(call.func, method.base.__name__, function),
        _global_value(call.func, function),
        isinstance(call.func, ast.Attribute) and call.func.value is x,
        any(isinstance(each, _LOOPS) for each in around),
        any(isinstance(each, _FUNCTIONS) for each in around),
        tuple(each for each in call.args if each is not x),
        tuple(each for each in call.keywords if each.value is not x),
    )


@dataclass(frozen=True)
class WrittenCall:
    """A call of an activation function of torch that the source code of a method contains.

    Attributes:
        lines: the lines at which the call may be recorded as beginning.
        text: the source code of the call.
    """

    lines: tuple[int, ...]
    text: str


@functools.cache
def written_calls(method: Method) -> tuple[WrittenCall, ...]:
    """Return all calls of activation functions and activation methods of tensors in a method.

    The result is empty if the source code is not available.
    """
    names = {*method.function.__code__.co_names}
    if not any(map(is_name_of_activation, names)):
        return ()
    try:
        node = method_node(parse_method(method))
    except CannotRewriteError:
        return ()
    return tuple(
        WrittenCall(tuple(line for line, _ in _starts(call)), ast.unparse(call))
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _calls_activation(call.func, method.function)
    )


def _calls_activation(called: ast.expr, function: FunctionType) -> bool:
    if not is_name_of_activation(last_name(called)):
        return False
    value, code = _global_value(called, function), function.__code__
    if value is not None:
        return resolve_name(value) is not None
    base = called
    while isinstance(base, ast.Attribute | ast.Call | ast.Subscript):
        base = base.func if isinstance(base, ast.Call) else base.value
    return isinstance(base, ast.Name) and base.id in code.co_varnames[1:]


def _check_module_name(node: ast.FunctionDef, function: FunctionType) -> None:
    """Raise `CannotRewriteError` unless the first argument always names the module, as `self`."""
    name = function.__code__.co_varnames[0]
    nodes = list(ast.walk(node))
    arguments = [each.arg for each in nodes if isinstance(each, ast.arg)]
    set_names = [
        each.id
        for each in nodes
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)
    ]
    if arguments.count(name) > 1 or name in set_names:
        raise CannotRewriteError(f"{function.__qualname__} uses {name!r} for other objects too")


def find_call(tree: ast.Module, pattern: CallPattern) -> ast.Call:
    """Return the call in a syntax tree that `pattern` identifies.

    Raises:
        CannotRewriteError: if the pattern does not match exactly one call.
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [call for call in calls if _is_at(call, pattern)]
    if len(found) != 1:
        raise CannotRewriteError(
            f"line {pattern.span[0]} contains {len(found)} calls that may be the activation, not "
            "one"
        )
    return found[0]


def _is_at(call: ast.Call, pattern: CallPattern) -> bool:
    line, _, first_column, _ = pattern.span
    if first_column is None:
        lines = [start for start, _ in _starts(call)]
        return line in lines and last_name(call.func) in pattern.function_names
    return any(
        (first, call.end_lineno, column, call.end_col_offset) == pattern.span
        for first, column in _starts(call)
    )


def _starts(call: ast.Call) -> Iterator[tuple[int, int]]:
    """Yield the line and column where a call begins, as the syntax tree and the compiler see it.

    If the expression before the dot has several lines, a call of a method begins at its name.
    """
    yield call.lineno, call.col_offset
    called = call.func
    if isinstance(called, ast.Attribute) and called.end_lineno and called.end_col_offset:
        yield called.end_lineno, called.end_col_offset - len(called.attr.encode())


def last_name(called: ast.expr) -> str:
    """Return the last name of the expression that is called: `c` for both `a.b.c()` and `c()`.

    The result is an empty string for other expressions, such as `functions[0]()`.
    """
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def input_of(call: ast.Call, pattern: CallPattern) -> ast.expr:
    """Return the expression in a call that is the input of the activation.

    Raises:
        CannotRewriteError: if the source code does not show which argument is the input.
    """
    # `F.tanh(x)` and `F.sigmoid(x)` call methods of `x` inside torch, so they are recorded as
    # tensor methods although their input is an argument.
    has_arguments = call.args or any(each.arg == "input" for each in call.keywords)
    input_is_object = not has_arguments or last_name(call.func) not in ("tanh", "sigmoid")
    if pattern.is_tensor_method and input_is_object and isinstance(call.func, ast.Attribute):
        return call.func.value
    if call.args and not isinstance(call.args[0], ast.Starred):
        return call.args[0]
    inputs = [each.value for each in call.keywords if each.arg in ("input", "x")]
    if len(inputs) != 1:
        raise CannotRewriteError(
            f"line {pattern.span[0]} does not show which argument is the activation's input"
        )
    return inputs[0]


def is_literal(argument: ast.expr) -> bool:
    """Return whether an expression is written as a constant, such as `-0.5` or `"tanh"`."""
    if isinstance(argument, ast.UnaryOp):
        return isinstance(argument.op, ast.USub) and is_literal(argument.operand)
    return isinstance(argument, ast.Constant)


def is_name(expression: ast.expr) -> bool:
    """Return whether an expression is a name or an attribute of a name, such as `self.inplace`."""
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return isinstance(expression, ast.Name)


def _attribute_of_self(called: ast.expr, class_name: str, function: FunctionType) -> str:
    self_name = function.__code__.co_varnames[0]
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
        return ""
    if called.value.id != self_name:
        return ""
    is_private = called.attr.startswith("__") and not called.attr.endswith("__")
    mangled = f"_{class_name.lstrip('_')}{called.attr}"
    return mangled if is_private and class_name.strip("_") else called.attr


def _global_value(called: ast.expr, function: FunctionType) -> Any:
    names: list[str] = []
    while isinstance(called, ast.Attribute):
        names.insert(0, called.attr)
        called = called.value
    code = function.__code__
    local = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
    if not isinstance(called, ast.Name) or called.id in local:
        return None
    value = function.__globals__.get(called.id)
    for name in names:
        value = getattr(value, name, None)
    return value if inspect.isroutine(value) else None
