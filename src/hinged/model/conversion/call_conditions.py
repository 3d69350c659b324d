"""Finds what must not change if a curve is to compute the same as the call that it replaces.

Somebody can change a converted model later, as by `model.act = nn.Tanh()` or `model.slope = 0.2`.
The rewritten method compares these attributes at each call, and uses the curve only if they are as
they were before.
"""

from __future__ import annotations

import ast
import math
from typing import Any

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import arguments_by_name, settings_of
from hinged.model.conversion.call_syntax import CallSyntax, is_literal, is_name
from hinged.model.conversion.method_source import CannotRewriteError
from hinged.model.conversion.methods import Method
from hinged.model.conversion.rewrite_method import CallConditions

_PLAIN = (bool, int, float, str, type(None))
_MISSING = object()


def call_conditions(
    call: ActivationCall, owner: nn.Module, method: Method, syntax: CallSyntax, *, is_counted: bool
) -> CallConditions:
    """Return what must not change if a curve replaces a call in a method.

    Args:
        call: the call.
        owner: the module that has the method.
        method: the method.
        syntax: what the source code shows about the call.
        is_counted: whether the rewritten method compares at each call what is called.

    Raises:
        CannotRewriteError: if an argument of the call could have any other value later.
    """
    settings = _changeable_arguments(call, owner, method, syntax)
    self_name = method.function.__code__.co_varnames[0]
    parts = [expression.split(".") for expression, _ in settings]
    read = {names[1] for names in parts if names[0] == self_name}
    if is_counted or not syntax.attribute:
        return CallConditions("", settings, frozenset(read))
    # The dictionary is read in a third of the time that `self.act` takes.
    attributes = "__dict__" if call.module is None else "_modules"
    called = f"{self_name}.{attributes}.get({syntax.attribute!r})"
    if call.module is not None and type(call.module).__module__ == nn.modules.activation.__name__:
        own = settings_of(call.module).items()
        settings += tuple((f"{called}.{name}", value) for name, value in own if _is_plain(value))
    return CallConditions(called, settings, frozenset({syntax.attribute, *read}))


def _changeable_arguments(
    call: ActivationCall, owner: nn.Module, method: Method, syntax: CallSyntax
) -> tuple[tuple[str, Any], ...]:
    """Return the arguments that are attributes or global names, with their values.

    A curve has the input as its only argument. The argument `inplace` has no effect on the result,
    so it may be the value of a variable.
    """
    keywords = {each.arg or "": each.value for each in syntax.keywords}
    found: dict[str, Any] = {}
    for name, argument in arguments_by_name(call.function, syntax.positional, keywords).items():
        if is_literal(argument) or (name == "inplace" and is_name(argument)):
            continue
        value = _value_of(argument, owner, method)
        if not _is_plain(value) or value != call.arguments.get(name, _MISSING):
            raise CannotRewriteError(
                f"its argument {ast.unparse(argument)} can have another value later, and a curve "
                "would not follow it: use a number, an attribute of the module that is a number, "
                "or a module such as nn.LeakyReLU"
            )
        found[ast.unparse(argument)] = value
    return tuple(found.items())


def _value_of(expression: ast.expr, owner: nn.Module, method: Method) -> Any:
    """Return the value of an expression such as `self.slope` or of a global name.

    The result is `_MISSING` for local variables, for attributes that do not exist, and for all
    other expressions.
    """
    names: list[str] = []
    while isinstance(expression, ast.Attribute):
        names.insert(0, expression.attr)
        expression = expression.value
    if not isinstance(expression, ast.Name):
        return _MISSING
    code = method.function.__code__
    value: Any = _MISSING
    if expression.id == code.co_varnames[0]:
        value = owner
    elif expression.id not in {*code.co_varnames, *code.co_cellvars, *code.co_freevars}:
        value = method.function.__globals__.get(expression.id, _MISSING)
    for name in names:
        value = getattr(value, name, _MISSING)
    return value


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a text or None, and equal to itself."""
    return type(value) in _PLAIN and not (isinstance(value, float) and not math.isfinite(value))
