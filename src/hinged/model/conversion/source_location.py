"""Where a call is in the source: which module, which method, which expression."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch.nn.functional
import torch.overrides
from torch import nn

from hinged.model.conversion.rewrite_method import Span, method_name

_THIS_FOLDER = os.path.dirname(__file__)
_TORCH_FILES = {
    nn.modules.module.__file__,
    torch.nn.functional.__file__,
    torch.overrides.__file__,
    torch._tensor.__file__,
}


@dataclass(eq=False)
class SourceLocation:
    """A call expression in a method of a module.

    Attributes:
        owner: the module that the method belongs to; None if the call is not in a method that can
            be rewritten.
        method: name of the method, or of the function that contains the call.
        code: code of the method or function.
        span: lines and columns of the call.
        description: function, file and line, for messages.
        occurrence: 0 when an execution of the method reaches the call for the first time, 1 for
            the second time, and so on.
    """

    owner: nn.Module | None
    method: str
    code: CodeType
    span: Span
    description: str
    occurrence: int = 0

    @property
    def key(self) -> Any:
        """A key that is different for every location and occurrence in one model."""
        return id(self.owner), self.code, self.span, self.occurrence


def calling_frames() -> list[FrameType]:
    """Return the stack, innermost frame first, without the innermost frames of hinged and torch."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_internal(frame.f_code.co_filename):
        frame = frame.f_back
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _is_internal(file: str) -> bool:
    return file in _TORCH_FILES or os.path.dirname(file) == _THIS_FOLDER


def locate_call(frames: list[FrameType]) -> tuple[SourceLocation, FrameType]:
    """Return the location of the call that the innermost frame executes, and the frame of the
    method that contains it."""
    inner = frames[0]
    file = os.path.basename(inner.f_code.co_filename)
    description = f"{inner.f_code.co_name} ({file}:{inner.f_lineno})"
    span = _span(inner)
    for frame in frames:
        owner, name = _method(frame)
        if name and _contains(frame.f_code, inner.f_code):
            return SourceLocation(owner, name, frame.f_code, span, description), frame
    return SourceLocation(None, inner.f_code.co_name, inner.f_code, span, description), inner


def _method(frame: FrameType) -> tuple[nn.Module | None, str]:
    """Return the module and the name of the method that a frame executes; None and an empty name
    if it does not execute a method of a module."""
    code = frame.f_code
    owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    return (owner, method_name(owner, code)) if isinstance(owner, nn.Module) else (None, "")


def _contains(outer: CodeType, inner: CodeType) -> bool:
    """Return whether `inner` is `outer` or a function defined inside it."""
    return outer is inner or any(
        _contains(constant, inner) for constant in outer.co_consts if isinstance(constant, CodeType)
    )


def _span(frame: FrameType) -> Span:
    if sys.version_info >= (3, 11):
        return tuple(list(frame.f_code.co_positions())[frame.f_lasti // 2])
    return frame.f_lineno, None, None, None
