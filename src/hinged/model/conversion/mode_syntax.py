"""Finds out from the source code what a read of the attribute `training` can change."""

from __future__ import annotations

import ast
import copy
import enum
import functools
import itertools
import linecache
import warnings
from collections.abc import Iterable, Iterator, Mapping
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
_MOST_READS = 4


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
    if _is_the_same_in_all_modes(read.expression, frame):
        return Effect.NOTHING
    called = None if read.called is None else _evaluate(read.called, frame)
    is_of_torch = isinstance(called, FunctionType) and called.__module__ == F.__name__
    if is_of_torch or called is F.scaled_dot_product_attention:
        return Effect.NUMBERS
    return Effect.ANYTHING


def _is_the_same_in_all_modes(expression: ast.expr, frame: FrameType) -> bool:
    """Return whether an expression is one number or text, whatever modes it reads.

    Several modules in it can be in different modes.
    """
    count = sum(map(_is_read, ast.walk(expression)))
    combinations = itertools.product((False, True), repeat=min(count, _MOST_READS))
    values = [
        _evaluate(_WithModes(modes).visit(copy.deepcopy(expression)), frame)
        for modes in combinations
    ]
    is_plain = all(type(value) in _PLAIN and type(value) is type(values[0]) for value in values)
    return count <= _MOST_READS and is_plain and all(value == values[0] for value in values)


def _is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "training"


class _WithModes(ast.NodeTransformer):
    """Replaces the reads of `training` in an expression by the given modes."""

    def __init__(self, modes: Iterable[bool]) -> None:
        self._modes = iter(modes)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(next(self._modes, None)) if _is_read(node) else self.generic_visit(node)


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
    reads, codes = _parse(code.co_filename)
    place = code.co_name, code.co_firstlineno
    same_place = (each for each in codes if (each.co_name, each.co_firstlineno) == place)
    return reads if any(same_code(each, code) for each in same_place) else {}


@functools.lru_cache(maxsize=32)
def _parse(file: str) -> tuple[Mapping[Span, _Read], tuple[CodeType, ...]]:
    """Return the reads of `training` in a file, and all code objects in it."""
    text = "".join(linecache.getlines(file))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The user has seen them when the file was imported.
            tree, code = ast.parse(text), compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return {}, ()
    return _reads_in_tree(tree), tuple(_codes_in(code))


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _reads_in_tree(tree: ast.Module) -> Mapping[Span, _Read]:
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return {
        (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset): _read(node, parents)
        for node in parents
        if isinstance(node, ast.Attribute) and _is_read(node)
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
