"""Rewrites a method of one module so that calls such as `F.relu(x)` become calls of curves.

The source code of the method is parsed, and the call expressions are replaced. The result is
compiled and stored as an attribute of the instance. The class is not changed.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from torch.fx import Tracer

from hinged import errors
from hinged.model.conversion.call_syntax import CallPattern, find_call, input_of
from hinged.model.conversion.method_source import (
    CannotRewriteError,
    compile_method,
    method_node,
    parse_method,
)
from hinged.model.conversion.methods import (
    Method,
    attributes_with,
    methods_of,
    methods_of_class,
)
from hinged.model.conversion.wrappers import copy_function, wrap_again

CURVES_CHILD = "hinged"
"""Name of the child module that contains the curves for the rewritten methods of a module."""
_ORIGINALS: WeakKeyDictionary[FunctionType, FunctionType] = WeakKeyDictionary()
"""The original function of each rewritten function."""


class CurvesRunAsLayerError(errors.ConversionError):
    """A container such as `nn.Sequential` runs all its children, also its curves.

    Attributes:
        curves: the curves.
    """

    def __init__(self, curves: MethodCurves) -> None:
        got = "a container that runs all its children, also the curves that its method calls"
        hint = "call hinged.revert(model), and leave its activations out with where=..."
        super().__init__(errors.message("hinged.convert(model)", got, hint))
        self.curves = curves


class MethodCurves(nn.ModuleDict):
    """Holds the curves that the rewritten methods of a module call, by name.

    Attributes:
        called: the modules and functions that the methods called instead before the conversion, by
            the names of the curves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.called: dict[str, Any] = {}

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        """Raise `CurvesRunAsLayerError`, because the curves together are no layer."""
        raise CurvesRunAsLayerError(self)

    def without_curve(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, which a method executes because a curve does not compute the same any
        more, and warn."""
        warnings.warn(
            "A converted model has another activation, or another setting of it, than before "
            f"hinged.convert put {CURVES_CHILD}.{name} in its place: the model applies it without "
            "a curve; to get a curve, call hinged.revert(model), and convert the model again.",
            errors.ChangedActivationWarning,
            stacklevel=2,
        )
        return call

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the curves with their names.

        `torch.fx` calls this method before it traces the model that contains the curves.

        Raises:
            ArgumentError: if `torch.fx` takes the method of the model from its class, and would
                leave out the curves.
        """
        _refuse_tracing_of_class(sys._getframe(1))
        return super().named_children()


def _refuse_tracing_of_class(caller: FrameType) -> None:
    tracer = caller.f_locals.get("self")
    if caller.f_code.co_name != "collect_tensor_attrs" or not isinstance(tracer, Tracer):
        return
    name = tracer.traced_func_name
    if isinstance(vars(tracer.root).get(name), RewrittenMethod):
        got = (
            f"a converted model whose method {name!r} calls curves, which torch.fx would leave out"
        )
        hint = "trace torch.nn.Sequential(model), or call hinged.revert(model) first"
        raise errors.ArgumentError(errors.message("torch.fx.symbolic_trace(model)", got, hint))


@dataclass(frozen=True)
class CallConditions:
    """What must be true for a curve to compute the same as a call.

    Attributes:
        called: an expression for the called module or function, which must still be the one that
            was called before the conversion. It is empty if it is compared in another way.
        settings: pairs of an expression, such as `self.slope`, and the value that it must have.
        attributes: the names of the attributes of the module that the expressions read.
    """

    called: str = ""
    settings: tuple[tuple[str, Any], ...] = ()
    attributes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CallReplacement:
    """Says which call in a method becomes a call of which curve.

    Attributes:
        pattern: what identifies the call in the source code.
        curve: the name of the curve in the child module `CURVES_CHILD`.
        is_counted: whether the rewritten method counts how often it has executed the call, to
            select the curve. This is needed if the call is in a loop, or if the called function
            can change.
        conditions: what must not change if the curve is to compute the same as the call. Where it
            has changed, the rewritten method executes the original call.
    """

    pattern: CallPattern
    curve: str
    is_counted: bool
    conditions: CallConditions


class RewrittenMethod:
    """A method of one module in which calls of activations are replaced by calls of curves.

    The object is stored as an attribute of the module, and hides the method of the class. When the
    module is copied or unpickled, the method is rewritten again for the new module.

    Args:
        owner: the module.
        name: the name of the method.
        replacements: the calls that are replaced.
        wrapper: the attribute of the module that the object replaces, such as a function that
            calls the method. None if the module has the method only from its class.
        method: the method that is rewritten. None means the one that the class of the module has.

    Raises:
        CannotRewriteError: if the method cannot be rewritten.
    """

    def __init__(
        self,
        owner: nn.Module,
        name: str,
        replacements: tuple[CallReplacement, ...],
        wrapper: Any = None,
        method: Method | None = None,
    ) -> None:
        self.__self__ = owner
        self.__name__ = name
        self.replacements = replacements
        self.wrapper = wrapper
        self.method = methods_of_class(type(owner))[name] if method is None else method
        self.__wrapped__ = rewrite_function(self.method, replacements)
        self._in_class = inspect.getattr_static(type(owner), name, None)
        self._bound_to = owner  # The module whose bound method the wrapper calls.
        self._callable = self._wrap()

    @property
    def original(self) -> Any:
        """What the module had as this method before it was rewritten."""
        if self.wrapper is not None:
            return self.wrapper
        in_class: Any = self._in_class
        return in_class.__get__(self.__self__)

    def _wrap(self) -> Any:
        """Return the rewritten method with the decorators and wrappers of the original one."""
        return wrap_again(self.original, self._replace, self._bound_to, self.__self__)

    def _replace(self, part: Any) -> Any:
        """Return the rewritten function in place of the original function."""
        if part is self.method.function:
            return self.__wrapped__
        if isinstance(part, MethodType) and part.__func__ is self.method.function:
            return MethodType(self.__wrapped__, self.__self__)
        return part

    @property
    def __func__(self) -> Any:
        """The function that is called with the module, with the decorators of the method.

        Raises:
            AttributeError: if the module has a wrapper that is called without the module.
        """
        return self._callable.__func__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._callable)

    @property
    def __globals__(self) -> dict[str, Any]:
        return self.__wrapped__.__globals__

    @property
    def __code__(self) -> CodeType:
        return self.__wrapped__.__code__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the rewritten method on its module, and return its result."""
        return self._callable(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.method if self.method.is_bound_to_module else None
        return RewrittenMethod, (self.__self__, self.__name__, self.replacements, self.wrapper, own)

    def __deepcopy__(self, memo: dict[int, Any]) -> RewrittenMethod:
        # The class may have another method by now, so the method is not looked up again.
        copied = object.__new__(RewrittenMethod)
        vars(copied).update(vars(self))
        copied.__self__, copied.wrapper = copy.deepcopy((self.__self__, self.wrapper), memo)
        if self.wrapper is None:
            copied._bound_to = copied.__self__
        copied._callable = copied._wrap()
        return copied


def rewritten_attributes(
    owner: nn.Module, method: Method, replacement: CallReplacement
) -> dict[str, RewrittenMethod]:
    """Return new values for the attributes of a module that execute a method, by name.

    The new values execute the rewritten method. Calls that were replaced earlier stay replaced.

    Raises:
        CannotRewriteError: if the method cannot be rewritten, or if no attribute executes it.
    """
    if method.name.startswith("__") and method.name.endswith("__"):
        raise CannotRewriteError(f"Python takes {method.name} from the class, not from the module")
    rewritten = {
        name: value
        for name, value in vars(owner).items()
        if isinstance(value, RewrittenMethod) and value.method == method
    }
    earlier = next((value.replacements for value in rewritten.values()), ())
    earlier = tuple(each for each in earlier if each.pattern != replacement.pattern)
    wrappers = {name: value.wrapper for name, value in rewritten.items()}
    wrappers = wrappers or attributes_with(owner, method)
    if not wrappers:
        raise CannotRewriteError(
            f"the module has its own attribute {method.name!r}, which does not show how it calls "
            "the method of the class"
        )
    return {
        name: RewrittenMethod(owner, method.name, (*earlier, replacement), wrapper, method)
        for name, wrapper in wrappers.items()
    }


def original_of(part: Any) -> Any:
    """Return the original of a rewritten method or of its function, and any other object itself."""
    if isinstance(part, RewrittenMethod):
        return part.original
    return _ORIGINALS.get(part, part) if isinstance(part, FunctionType) else part


def find_method(owner: nn.Module, code: CodeType) -> Method | None:
    """Return the method of the module `owner` whose code object is `code`.

    The result is None if the module has no such method, for example because a subclass overrides
    the method. It is also None if the module has the same method under several names.
    """
    rewritten = [value for value in vars(owner).values() if isinstance(value, RewrittenMethod)]
    found = {each.method for each in rewritten if each.__code__ is code}
    found |= {each for each in methods_of(owner) if each.function.__code__ is code}
    return found.pop() if len(found) == 1 else None


@functools.cache
def rewrite_function(method: Method, replacements: tuple[CallReplacement, ...]) -> FunctionType:
    """Return a copy of a method's function in which calls are replaced by calls of curves.

    The copy has the line numbers, the name and the closure of the original function.

    Args:
        method: the method.
        replacements: the calls that are replaced.

    Raises:
        CannotRewriteError: if the source code is not available or differs from the running code, or
            if one of the `replacements` does not match exactly one call.
    """
    function = method.function
    tree = parse_method(method)
    calls = [find_call(tree, each.pattern) for each in replacements]
    for call, replacement in zip(calls, replacements, strict=True):
        _replace_call(tree, call, replacement, self_name=function.__code__.co_varnames[0])
    ast.fix_missing_locations(tree)
    code = compile_method(tree, method)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    rewritten = copy_function(function, code, tuple(cells[name] for name in code.co_freevars))
    _ORIGINALS[rewritten] = function
    return rewritten


def _replace_call(
    tree: ast.Module, call: ast.Call, replacement: CallReplacement, self_name: str
) -> None:
    x = input_of(call, replacement.pattern)
    original = _original_call(call, x)
    curve = _expression(f"{self_name}.{CURVES_CHILD}.{replacement.curve}")
    if not replacement.is_counted:
        call.func = _if_unchanged(curve, replacement, self_name, original)
        call.args, call.keywords = [x], []
        return
    counter = f"_{CURVES_CHILD}_{replacement.curve}"
    method = method_node(tree)
    has_docstring = ast.get_docstring(method, clean=False) is not None
    start = ast.Assign([ast.Name(counter, ast.Store())], ast.List([], ast.Load()))
    method.body.insert(int(has_docstring), start)
    function = call.func
    if replacement.pattern.is_tensor_method:
        is_method = isinstance(function, ast.Attribute) and function.value is x
        function = ast.Constant(None)
        call.args = [x, *call.args] if is_method else [x]
    function = _if_unchanged(function, replacement, self_name, original)
    call.func, call.args = curve, [ast.Name(counter, ast.Load()), function, *call.args]


def _original_call(call: ast.Call, x: ast.expr) -> ast.Lambda:
    """Return a function of the input `x` that executes a call as it stands in the source code."""
    name = f"_{CURVES_CHILD}_x"
    body = copy.deepcopy(call, {id(x): ast.Name(name, ast.Load())})
    others = {
        "vararg": ast.arg(f"_{CURVES_CHILD}_args"),
        "kwarg": ast.arg(f"_{CURVES_CHILD}_given"),
    }
    arguments = ast.arguments([], [ast.arg(name)], others["vararg"], [], [], others["kwarg"], [])
    return ast.Lambda(arguments, body)


def _if_unchanged(
    function: ast.expr, replacement: CallReplacement, self_name: str, original: ast.Lambda
) -> ast.expr:
    """Return an expression that is `function` if the conditions hold, and `original` otherwise."""
    curves, conditions = f"{self_name}.{CURVES_CHILD}", replacement.conditions
    called = f"{self_name}._modules[{CURVES_CHILD!r}].called[{replacement.curve!r}]"
    tests = [f"{conditions.called} is {called}"] if conditions.called else []
    tests += [f"{expression} == {value!r}" for expression, value in conditions.settings]
    if not tests:
        return function
    without_curve = _expression(f"{curves}.without_curve")
    otherwise = ast.Call(without_curve, [ast.Constant(replacement.curve), original], [])
    return ast.IfExp(_expression(" and ".join(tests)), function, otherwise)


def _expression(text: str) -> ast.expr:
    """Return the syntax tree of an expression, without lines and columns."""
    tree = ast.parse(text, mode="eval").body
    for node in ast.walk(tree):
        for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            vars(node).pop(name, None)
    return tree
