"""Finds out from the source code what a read of the attribute `training` can change."""

from __future__ import annotations

import ast
import copy
import enum
import functools
import linecache
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

from torch import nn
from torch.nn import functional as F

from hinged.model.conversion.call_syntax import Span
from hinged.model.conversion.same_code import same_code
from hinged.model.conversion.source_location import span_of

_OPERATORS = (ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Attribute)
_LEAVES = (ast.Name, ast.Constant, ast.expr_context, ast.boolop, ast.unaryop, ast.cmpop)
_PLAIN = (bool, int, float, str, type(None))


class Effect(enum.Enum):
    """What can differ between training and evaluation because of a read of `training`."""

    NOTHING = "nothing"
    NUMBERS = "numbers"
    ANYTHING = "anything"


class _Read(NamedTuple):
    """A read of `training` in source code.

    Attributes:
        expression: the largest expression around the read that calls nothing.
        called: the function that gets the value of this expression as an argument, if any.
    """

    expression: ast.expr
    called: ast.expr | None


def effect_of_read(frame: FrameType) -> Effect:
    """Return what can differ because of a read of `training` that a stack frame executes."""
    if str(frame.f_globals.get("__name__")).startswith(f"{nn.modules.__name__}."):
        return Effect.NUMBERS
    read = _reads_in(frame.f_code).get(span_of(frame))
    if read is None:
        return Effect.ANYTHING
    in_evaluation, in_training = (_value(read.expression, frame, mode) for mode in (False, True))
    if in_evaluation == in_training:
        return Effect.NOTHING
    called = None if read.called is None else _evaluate(read.called, frame)
    is_of_torch = isinstance(called, FunctionType) and called.__module__ == F.__name__
    if is_of_torch or called is F.scaled_dot_product_attention:
        return Effect.NUMBERS
    return Effect.ANYTHING


def _value(expression: ast.expr, frame: FrameType, mode: bool) -> tuple[Any, ...]:
    """Return the value of an expression in one mode, in a form that can be compared.

    If the value is not plain, the result differs between the modes.
    """
    fixed = _InOneMode(mode).visit(copy.deepcopy(expression))
    value = _evaluate(fixed, frame)
    return (type(value), value) if type(value) in _PLAIN else (mode,)


class _InOneMode(ast.NodeTransformer):
    """Replaces all reads of `training` in an expression by the mode."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(self._mode) if node.attr == "training" else self.generic_visit(node)


def _evaluate(expression: ast.expr, frame: FrameType) -> Any:
    """Return the value of an expression that calls nothing; an exception if it raises one."""
    tree = ast.fix_missing_locations(ast.Expression(expression))
    try:
        return eval(compile(tree, "<mode>", "eval"), frame.f_globals, frame.f_locals)
    except Exception as error:
        return error


@functools.lru_cache(maxsize=1024)
def _reads_in(code: CodeType) -> Mapping[Span, _Read]:
    """Return the reads of `training` in the file of a code object, by their lines and columns.

    The result is empty if the file does not contain the source of this code object.
    """
    tree, codes = _parse(code.co_filename)
    if any(each.co_name == code.co_name and same_code(each, code) for each in codes):
        return _reads_in_tree(tree)
    return {}


@functools.lru_cache(maxsize=32)
def _parse(file: str) -> tuple[ast.Module, tuple[CodeType, ...]]:
    """Return the syntax tree of a file, and all code objects in it."""
    try:
        text = "".join(linecache.getlines(file))
        tree, code = ast.parse(text), compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return ast.Module([], []), ()
    return tree, tuple(_codes_in(code))


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


@functools.lru_cache(maxsize=32)
def _reads_in_tree(tree: ast.Module) -> Mapping[Span, _Read]:
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return {
        (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset): _read(node, parents)
        for node in parents
        if isinstance(node, ast.Attribute) and node.attr == "training"
    }


def _read(node: ast.expr, parents: Mapping[ast.AST, ast.AST]) -> _Read:
    largest = node
    while isinstance(outer := parents[largest], ast.expr) and _calls_nothing(outer):
        largest = outer
    parent = parents[largest]
    call = parents[parent] if isinstance(parent, ast.keyword) else parent
    if isinstance(call, ast.Call) and call.func is not largest and _calls_nothing(call.func):
        return _Read(largest, call.func)
    return _Read(largest, None)


def _calls_nothing(node: ast.AST) -> bool:
    kinds = (*_OPERATORS, *_LEAVES)
    return isinstance(node, kinds) and all(isinstance(each, kinds) for each in ast.walk(node))
