"""Rewrites a method of one module so that calls such as `F.relu(x)` become calls of curves.

The source code of the method is parsed, and the call expressions are replaced. The result is
compiled and stored as an attribute of the instance. The class is not changed.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from torch import nn

CURVES_CHILD = "hinged"
"""Name of the child module that contains the curves for the rewritten methods of a module."""
_FUTURE_FLAGS = 0x1FF0000  # Flags of `from __future__ import` in code objects.
_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

Span = tuple[int | None, ...]
"""First line, last line, first column and last column of an expression. Columns count bytes.

Before Python 3.11, only the first line is known. The other entries are then None.
"""


class MethodCurves(nn.ModuleDict):
    """Holds the curves that the rewritten methods of a module call, by name."""


class CannotRewriteError(Exception):
    """Raised if a method cannot be rewritten; its text says why."""


@dataclass(frozen=True)
class CallReplacement:
    """Says which call in a method becomes a call of which curve.

    Attributes:
        span: the lines and columns of the call in the source code.
        function_names: names that the called function can have in the source code. They identify
            the call if only its line is known.
        curve: the name of the curve in the child module `CURVES_CHILD`.
        is_tensor_method: whether the call is a method of its input, such as `x.relu()`.
        is_counted: whether the rewritten method counts how often it has executed the call, to
            select the curve. This is needed if the call is in a loop, or if the called function
            can change.
    """

    span: Span
    function_names: tuple[str, ...]
    curve: str
    is_tensor_method: bool
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
    base, function = _method_of_class(owner, name)
    code = function.__code__
    tree = _parse_verified(base, function)
    for replacement in replacements:
        _replace_call(tree, replacement, self_name=code.co_varnames[0])
    ast.fix_missing_locations(tree)
    new_code = _compile_method(tree, function, base)
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


def _method_of_class(owner: type, name: str) -> tuple[type, FunctionType]:
    """Return the class that defines the method, and the method as a function object.

    The class is `owner` or one of its base classes.
    """
    base = next((base for base in owner.__mro__ if name in base.__dict__), owner)
    function = base.__dict__.get(name)
    if not inspect.isfunction(function):
        raise CannotRewriteError(f"{owner.__name__}.{name} is not an ordinary method")
    return base, function


def _parse_verified(base: type, function: FunctionType) -> ast.Module:
    """Return the syntax tree of a method, if the source code still matches the running code.

    Raises:
        CannotRewriteError: if the source code is not available or differs from the running code.
    """
    tree = _parse_method(function, base)
    if _fingerprint(_compile_method(tree, function, base)) != _fingerprint(function.__code__):
        raise CannotRewriteError(
            f"the source code of {function.__qualname__} differs from the running code"
        )
    return tree


def _parse_method(function: FunctionType, base: type) -> ast.Module:
    """Return the syntax tree of a method, wrapped in a class inside an outer function.

    The arguments of the outer function are the variables in the closure of the method. All names
    are therefore looked up as in the original method. Lines and columns are those of the source
    file.
    """
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
    factory = ast.FunctionDef("factory", arguments, [class_node], [])
    if sys.version_info >= (3, 12):
        class_node.type_params = factory.type_params = []
    return ast.fix_missing_locations(ast.Module([factory], []))


def _compile_method(tree: ast.Module, function: FunctionType, base: type) -> CodeType:
    original = function.__code__
    code: CodeType = compile(
        tree,
        original.co_filename,
        "exec",
        flags=original.co_flags & _FUTURE_FLAGS,
        dont_inherit=True,
    )
    for name in ("factory", base.__name__, original.co_name):
        code = next(
            constant
            for constant in code.co_consts
            if isinstance(constant, CodeType) and constant.co_name == name
        )
    return code.replace(co_firstlineno=original.co_firstlineno)


def _fingerprint(code: CodeType) -> tuple[Any, ...]:
    """Return the names, constants and line numbers of a code object.

    If two code objects have equal results, their source code is taken to be the same. Instructions
    are not compared. They can differ, because a compiler that reads only a method does not know
    which names are imported modules.
    """
    constants = [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]
    # Before Python 3.11, the full name of a nested function is also a constant.
    constants = [each for each in constants if "<locals>" not in each]
    lines = {line for _, _, line in code.co_lines()}
    return sorted(code.co_names), code.co_varnames, sorted(constants), lines


def _replace_call(tree: ast.Module, replacement: CallReplacement, self_name: str) -> None:
    call = _find_call(tree, replacement.span, replacement.function_names)
    curves = ast.Attribute(ast.Name(self_name, ast.Load()), CURVES_CHILD, ast.Load())
    curve = ast.Attribute(curves, replacement.curve, ast.Load())
    if not replacement.is_counted:
        call.func, call.args, call.keywords = curve, [_input_of(call, replacement)], []
        return
    counter = f"_{CURVES_CHILD}_{replacement.curve}"
    method = _method_node(tree)
    has_docstring = ast.get_docstring(method, clean=False) is not None
    start = ast.Assign([ast.Name(counter, ast.Store())], ast.List([], ast.Load()))
    method.body.insert(int(has_docstring), start)
    function = call.func
    if replacement.is_tensor_method:
        function = ast.Constant(None)
        call.args, call.keywords = [_input_of(call, replacement)], []
    call.func, call.args = curve, [ast.Name(counter, ast.Load()), function, *call.args]


def _find_call(tree: ast.Module, span: Span, function_names: tuple[str, ...]) -> ast.Call:
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_at(node, span, function_names)
    ]
    if len(calls) != 1:
        raise CannotRewriteError(
            f"line {span[0]} contains {len(calls)} calls that may be the activation, not one"
        )
    return calls[0]


def _is_at(call: ast.Call, span: Span, function_names: tuple[str, ...]) -> bool:
    line, _, first_column, _ = span
    if first_column is None:
        return call.lineno == line and _last_name(call.func) in function_names
    return (call.lineno, call.end_lineno, call.col_offset, call.end_col_offset) == span


def _last_name(called: ast.expr) -> str:
    """Return the last name of the expression that is called: `c` for both `a.b.c()` and `c()`.

    The result is an empty string for other expressions, such as `functions[0]()`.
    """
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _input_of(call: ast.Call, replacement: CallReplacement) -> ast.expr:
    # `F.tanh(x)` calls `x.tanh()` inside torch, so it is recorded as a tensor method although its
    # input is an argument. The only tensor method with arguments here is `x.prelu(weight)`.
    has_arguments = call.args or any(each.arg == "input" for each in call.keywords)
    input_is_object = not has_arguments or _last_name(call.func) == "prelu"
    if replacement.is_tensor_method and input_is_object and isinstance(call.func, ast.Attribute):
        return call.func.value
    if call.args and not isinstance(call.args[0], ast.Starred):
        return call.args[0]
    inputs = [each.value for each in call.keywords if each.arg in ("input", "x")]
    if len(inputs) != 1:
        raise CannotRewriteError(
            f"line {replacement.span[0]} does not show which argument is the activation's input"
        )
    return inputs[0]


@dataclass(frozen=True)
class CallSyntax:
    """What the source code shows about one call.

    Attributes:
        name: the last name of the called expression; empty if it has none.
        is_attribute_of_self: whether the called expression is an attribute of the module.
        in_loop: whether the call is inside a loop or a comprehension.
        in_nested_function: whether the call is inside a function that the method defines.
    """

    name: str
    is_attribute_of_self: bool
    in_loop: bool
    in_nested_function: bool


def call_syntax(
    owner: type, method: str, span: Span, function_names: tuple[str, ...]
) -> CallSyntax:
    """Find a call in the source code of a method, and return its syntax.

    Args:
        owner: the class that has the method.
        method: the name of the method.
        span: the lines and columns of the call.
        function_names: names that the called function can have in the source code.

    Raises:
        CannotRewriteError: if the source code does not show the call.
    """
    base, function = _method_of_class(owner, method)
    tree = _parse_verified(base, function)
    call = _find_call(tree, span, function_names)
    node = _method_node(tree)
    around = [each for each in ast.walk(node) if each is not node and call in ast.walk(each)]
    parent = call.func.value if isinstance(call.func, ast.Attribute) else None
    self_name = function.__code__.co_varnames[0]
    return CallSyntax(
        _last_name(call.func),
        isinstance(parent, ast.Name) and parent.id == self_name,
        any(isinstance(each, _LOOPS) for each in around),
        any(isinstance(each, _FUNCTIONS) for each in around),
    )


def _method_node(tree: ast.Module) -> ast.FunctionDef:
    class_node = tree.body[0].body[0]  # type: ignore[attr-defined]
    method: ast.FunctionDef = class_node.body[0]
    return method
