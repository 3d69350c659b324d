"""Compares two code objects by their instructions."""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

# Compilers choose between the variants of these instructions by what they know about the imports
# of a file. The variants compute the same.
_VARIANTS = {"LOAD_METHOD": "LOAD_ATTR", "CALL_METHOD": "CALL_FUNCTION"}
_WITHOUT_EFFECT = {"CACHE", "EXTENDED_ARG", "NOP", "PUSH_NULL", "RESUME"}
_PLACE_VARIES = {"CALL", "KW_NAMES", "LOAD_ATTR", "LOAD_METHOD", "PRECALL"}
_JUMPS = {*dis.hasjrel, *dis.hasjabs}


def same_code(one: CodeType, other: CodeType) -> bool:
    """Return whether two code objects compute the same, and come from the same lines and columns.

    The code objects of nested functions are compared too. It makes no difference whether a function
    is defined inside another function, or how the compiler has encoded the call of a method.

    >>> def get(text):
    ...     return compile(text, "example.py", "eval")
    >>> same_code(get("a + b"), get("a + b")), same_code(get("a + b"), get("a - b"))
    (True, False)
    """
    return _header(one) == _header(other) and _instructions(one) == _instructions(other)


def _header(code: CodeType) -> tuple[Any, ...]:
    flags = code.co_flags & ~inspect.CO_NESTED
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    return code.co_name, flags, counts, code.co_varnames, set(code.co_freevars)


def _instructions(code: CodeType) -> list[tuple[Any, ...]]:
    """Return name, argument and place of every instruction of a code object.

    The target of a jump is the number of an instruction.
    """
    kept: list[dis.Instruction] = []
    numbers: dict[int, int] = {}
    for each in dis.get_instructions(code):
        numbers[each.offset] = len(kept)
        if each.opname not in _WITHOUT_EFFECT:
            kept.append(each)
    return [
        (
            _VARIANTS.get(each.opname, each.opname),
            numbers[each.argval] if each.opcode in _JUMPS else _argument(code, each),
            _place(each),
        )
        for each in kept
    ]


def _argument(code: CodeType, instruction: dis.Instruction) -> Any:
    if instruction.opname == "KW_NAMES":  # In Python 3.11, `dis` does not look up the names.
        return code.co_consts[instruction.arg or 0]
    return _comparable(instruction.argval)


def _place(instruction: dis.Instruction) -> Any:
    """Return the lines and columns of an instruction; before Python 3.11, the line it starts."""
    if sys.version_info < (3, 11):
        return instruction.starts_line
    return None if instruction.opname in _PLACE_VARIES else instruction.positions


def _comparable(value: Any) -> Any:
    """Return a constant in a form that equals that of another constant only if both are the same.

    For example, `1`, `1.0` and `True` get different forms.
    """
    if isinstance(value, CodeType):
        return _header(value), _instructions(value)
    if isinstance(value, str):  # Before Python 3.11, the full name of a function is a constant.
        return value.rpartition("<locals>")[2]
    return list(_parts(value))


def _parts(value: Any) -> Iterator[Any]:
    yield type(value)
    if isinstance(value, tuple):
        yield from map(_comparable, value)
    elif isinstance(value, frozenset):
        yield sorted(map(repr, value))
    else:
        yield repr(value)
