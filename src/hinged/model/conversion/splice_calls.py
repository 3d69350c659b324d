"""Methods of single modules with some of their calls replaced by curves."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from torch import nn

CURVES = "hinged"
"""The name of the child module that holds the curves of a module's rewritten calls."""
_FUTURES = 0x1FF0000  # The flags of `from __future__ import ...` in a code object.

Position = tuple[int | None, ...]


class CallCurves(nn.ModuleDict):
    """The curves of a module's rewritten calls, by name."""


class CannotRewriteError(Exception):
    """A method cannot be rewritten; the message says why."""


@dataclass(frozen=True)
class Edit:
    """One call in a method that becomes the call of a curve.

    Attributes:
        position: first line, last line, first column, last column of the call; before Python 3.11
            only the first line is known.
        callees: last names that what is called there may have, to find it by line.
        curve: name of the curve in the module's child `CURVES`.
        method: the call is a method of its input, `x.relu()`.
        counted: the place is passed several times, or by different callees: which curve it is, if
            any, is decided by counting.
    """

    position: Position
    callees: tuple[str, ...]
    curve: str
    method: bool
    counted: bool


class Rewritten:
    """A method of one module with edits, standing in the module's own attributes.

    Made anew from the class's source when it is copied or unpickled, so that it always belongs to
    the module it is found in.
    """

    def __init__(self, owner: nn.Module, name: str, edits: tuple[Edit, ...]) -> None:
        self.__self__ = owner
        self.__name__ = name
        self.edits = edits
        self.__func__ = rewrite(type(owner), name, edits)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.__func__.__get__(self.__self__))

    @property
    def __code__(self) -> CodeType:
        return self.__func__.__code__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        return self.__func__(self.__self__, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rewritten, (self.__self__, self.__name__, self.edits)


def method_of(owner: type, name: str) -> tuple[type, FunctionType] | None:
    """Return the class that defines a method, and the function, None where there is none or the
    attribute is no plain function."""
    for base in owner.__mro__:
        if name in base.__dict__:
            function = base.__dict__[name]
            return (base, function) if inspect.isfunction(function) else None
    return None


def name_in(owner: nn.Module, code: CodeType) -> str:
    """Return the name under which a module runs this code as a method; empty where it does not, as
    with a base's method that a subclass has overridden, or where it has several."""
    own = {name: each for name, each in vars(owner).items() if isinstance(each, Rewritten)}
    names = [name for name, each in own.items() if each.__code__ is code]
    kind: Any = type(owner)
    names += [name for name in _names(kind, code) if name not in own]
    return names[0] if len(names) == 1 else ""


@functools.lru_cache(maxsize=4096)
def _names(owner: Any, code: CodeType) -> tuple[str, ...]:
    every = dict.fromkeys(name for base in owner.__mro__ for name in base.__dict__)
    found = {name: method_of(owner, name) for name in every}
    return tuple(name for name, each in found.items() if each and each[1].__code__ is code)


def rewrite(owner: type, name: str, edits: tuple[Edit, ...]) -> FunctionType:
    """Return a method of a class with edits; lines, names and closures are the original's.

    Raises:
        CannotRewriteError: the source is not to be had, has changed since it was imported, or
            does not show one call where an edit asks for it.
    """
    key = (owner, name, edits)
    if key not in _rewritten:
        found = method_of(owner, name)
        if found is None:
            raise CannotRewriteError(f"{owner.__name__}.{name} is no plain method")
        _rewritten[key] = _rewrite(*found, edits)
    return _rewritten[key]


_rewritten: dict[Any, FunctionType] = {}


def _rewrite(base: type, function: FunctionType, edits: tuple[Edit, ...]) -> FunctionType:
    code = function.__code__
    tree = _tree(base, function)
    for edit in edits:
        _apply(edit, tree, code.co_varnames[0])
    ast.fix_missing_locations(tree)
    new = _compiled(tree, function, base)
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    closure = tuple(cells[name] for name in new.co_freevars)
    result = FunctionType(
        new, function.__globals__, function.__name__, function.__defaults__, closure
    )
    result.__kwdefaults__ = function.__kwdefaults__
    result.__qualname__ = function.__qualname__
    result.__module__ = function.__module__
    result.__doc__ = function.__doc__
    result.__annotations__ = function.__annotations__
    return result


def _tree(base: type, function: FunctionType) -> ast.Module:
    """Return a method's source, checked to be what is running."""
    tree = _parsed(*_source(function), function, base)
    if not _same_code(_compiled(tree, function, base), function.__code__):
        raise CannotRewriteError(f"the source of {function.__qualname__} is not what is running")
    return tree


def _source(function: FunctionType) -> tuple[str, int]:
    """Return a method's source, indented as in its file, and its first line there."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise CannotRewriteError(
            f"the source of {function.__qualname__} is not to be had"
        ) from None
    return "".join(lines), first


def _parsed(source: str, first: int, function: FunctionType, base: type) -> ast.Module:
    """Return the method inside a class inside a function whose arguments are what it closes over:
    names are then looked up as in its own place. Lines and columns are the file's."""
    indented = source[:1].isspace()
    try:
        tree = ast.parse(f"class {base.__name__}:\n{source}" if indented else source)
    except SyntaxError:
        raise CannotRewriteError(
            f"the source of {function.__qualname__} does not stand alone"
        ) from None
    ast.increment_lineno(tree, first - (2 if indented else 1))
    inner = tree.body[0].body[0] if isinstance(tree.body[0], ast.ClassDef) else tree.body[0]
    if not isinstance(inner, ast.FunctionDef):
        raise CannotRewriteError(f"{function.__qualname__} is no plain function")
    inner.decorator_list = []
    holder = ast.ClassDef(base.__name__, [], [], [inner], [])
    outside = [name for name in function.__code__.co_freevars if name != "__class__"]
    given = ast.arguments([], [ast.arg(name) for name in outside], None, [], [], None, [])
    factory = ast.FunctionDef("factory", given, [holder], [])
    if sys.version_info >= (3, 12):
        holder.type_params = factory.type_params = []
    module = ast.Module([factory], [])
    return ast.fix_missing_locations(module)


def _compiled(tree: ast.Module, function: FunctionType, base: type) -> CodeType:
    code = function.__code__
    whole = compile(
        tree, code.co_filename, "exec", flags=code.co_flags & _FUTURES, dont_inherit=True
    )
    found = _inner(whole, ("factory", base.__name__, code.co_name))
    return found.replace(co_firstlineno=code.co_firstlineno)


def _inner(code: CodeType, names: tuple[str, ...]) -> CodeType:
    for name in names:
        code = next(
            constant
            for constant in code.co_consts
            if isinstance(constant, CodeType) and constant.co_name == name
        )
    return code


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Whether two pieces of code have the same names, constants and lines. Their instructions may
    differ: a compiler that sees a whole file knows which names in it are imported modules."""
    return _gist(one) == _gist(other)


def _gist(code: CodeType) -> tuple[Any, ...]:
    plain = [each for each in code.co_consts if not isinstance(each, CodeType)]
    # Before Python 3.11 a nested function's full name is a constant beside its code.
    constants = [repr(each) for each in plain if "<locals>" not in repr(each)]
    lines = {line for _, _, line in code.co_lines()}
    return sorted(code.co_names), code.co_varnames, sorted(constants), lines


def _apply(edit: Edit, tree: ast.Module, self_name: str) -> None:
    """Replace the call that an edit means."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_at(node, edit)]
    if len(found) != 1:
        raise CannotRewriteError(f"line {edit.position[0]} shows {len(found)} calls in its place")
    call = found[0]
    curves = ast.Attribute(ast.Name(self_name, ast.Load()), CURVES, ast.Load())
    curve = ast.Attribute(curves, edit.curve, ast.Load())
    if not edit.counted:
        call.func, call.args, call.keywords = curve, [_input_of(call, edit)], []
        return
    counts = f"_{CURVES}_{edit.curve}"
    method = _method(tree)
    start = ast.Assign([ast.Name(counts, ast.Store())], ast.List([], ast.Load()))
    method.body.insert(_after_docstring(method), start)
    passed = [ast.Name(counts, ast.Load()), ast.Constant(None) if edit.method else call.func]
    if edit.method:
        call.args, call.keywords = [_input_of(call, edit)], []
    call.func, call.args = curve, [*passed, *call.args]


def _is_at(call: ast.Call, edit: Edit) -> bool:
    line, last, column, last_column = edit.position
    if column is None:
        return call.lineno == line and _last_name(call.func) in edit.callees
    there = (call.lineno, call.end_lineno, call.col_offset, call.end_col_offset)
    return there == (line, last, column, last_column)


def _last_name(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _input_of(call: ast.Call, edit: Edit) -> ast.expr:
    # `F.tanh(x)` is `x.tanh()` to who watches; only `x.prelu(weight)` has arguments of its own.
    given = [*call.args, *(each for each in call.keywords if each.arg == "input")]
    bare = not given or _last_name(call.func) == "prelu"
    if edit.method and bare and isinstance(call.func, ast.Attribute):
        return call.func.value
    if call.args and not isinstance(call.args[0], ast.Starred):
        return call.args[0]
    inputs = [each.value for each in call.keywords if each.arg in ("input", "x")]
    if len(inputs) != 1:
        raise CannotRewriteError(f"line {edit.position[0]} does not show the input of the call")
    return inputs[0]


@dataclass(frozen=True)
class Callee:
    """What the source shows of a call.

    Attributes:
        name: the last name of what is called, empty where it has none.
        of_self: it is an attribute of the module.
        looped: it stands in a loop or a comprehension.
        nested: it stands in a function of its own inside the method.
    """

    name: str
    of_self: bool
    looped: bool
    nested: bool


def callee(owner: type, name: str, position: Position, callees: tuple[str, ...]) -> Callee:
    """Return what is called at a position of a method.

    Raises:
        CannotRewriteError: the source does not show it.
    """
    found = method_of(owner, name)
    if found is None:
        raise CannotRewriteError(f"{owner.__name__}.{name} is no plain method")
    base, function = found
    tree = _tree(base, function)
    edit = Edit(position, callees, "", False, False)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_at(node, edit)]
    if len(calls) != 1:
        raise CannotRewriteError(f"line {position[0]} shows {len(calls)} calls in its place")
    method = _method(tree)
    around = [
        node for node in ast.walk(method) if calls[0] in ast.walk(node) and node is not method
    ]
    looped = any(isinstance(node, _LOOPS) for node in around)
    nested = any(isinstance(node, _FUNCTIONS) for node in around)
    called = calls[0].func
    holder = called.value if isinstance(called, ast.Attribute) else None
    own = isinstance(holder, ast.Name) and holder.id == function.__code__.co_varnames[0]
    return Callee(_last_name(called), own, looped, nested)


_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _method(tree: ast.Module) -> ast.FunctionDef:
    holder = tree.body[0].body[0]  # type: ignore[attr-defined]
    method: ast.FunctionDef = holder.body[0]
    return method


def _after_docstring(method: ast.FunctionDef) -> int:
    return int(ast.get_docstring(method, clean=False) is not None)
