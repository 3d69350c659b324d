"""Finds where a call is in the source code: in which module, method and expression."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Container
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch.nn.functional
import torch.overrides
from torch import nn

from hinged.model.conversion.call_syntax import Span
from hinged.model.conversion.methods import Method
from hinged.model.conversion.rewrite_method import find_method

_THIS_FOLDER = os.path.dirname(__file__)
_TORCH_FILES = {
    nn.modules.module.__file__,
    torch.nn.functional.__file__,
    torch.overrides.__file__,
    torch._tensor.__file__,
}


@dataclass(eq=False)
class SourceLocation:
    """The place of a call in the source code of a model.

    Attributes:
        owner: the module whose method contains the call. None if the call is not in a method of a
            module.
        method: the method; None if the call is not in a method of a module.
        code: the code object of the method or function.
        span: the lines and columns of the call.
        description: the function, file and line, for messages.
        occurrence: how often the same execution of the method has executed the call before: 0 for
            the first time, 1 for the second time (in a loop), and so on.
        called: `id` of the module or function that is called. One expression can call several, such
            as `(self.a if self.training else self.b)(x)`.
        in_other_module: whether a module that does not belong to the model makes the call. The
            location is then where the model calls this module.
    """

    owner: nn.Module | None
    method: Method | None
    code: CodeType
    span: Span
    description: str
    occurrence: int = 0
    called: int = 0
    in_other_module: bool = False

    @property
    def key(self) -> Any:
        """A hashable key; two locations in one model have different keys."""
        return id(self.owner), self.code, self.span, self.occurrence, self.called


def calling_frames() -> list[FrameType]:
    """Return the frames of the Python stack, from the innermost to the outermost.

    The list starts at the first frame that belongs neither to this package nor to torch.
    """
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


def frames_in_model(frames: list[FrameType], members: Container[int]) -> list[FrameType]:
    """Return the frames without the innermost ones that belong to modules outside of the model.

    For a call inside the new module of `nn.ReLU()(x)`, the first frame of the result executes
    `nn.ReLU()(x)`.

    Args:
        frames: the frames of the Python stack, from the innermost to the outermost.
        members: the `id` of every module of the model.

    Returns:
        The list `frames` itself if the innermost module in it belongs to the model.
    """
    owners = [first_argument(frame) for frame in frames]
    modules = [i for i, owner in enumerate(owners) if isinstance(owner, nn.Module)]
    others = list(itertools.takewhile(lambda i: id(owners[i]) not in members, modules))
    if not others or len(others) == len(modules):
        return frames
    rest = frames[others[-1] + 1 :]
    return list(itertools.dropwhile(lambda frame: _is_internal(frame.f_code.co_filename), rest))


def locate_call(frames: list[FrameType]) -> tuple[SourceLocation, FrameType]:
    """Return the location of the call that the innermost frame executes.

    Args:
        frames: the frames of the Python stack, from the innermost to the outermost.

    Returns:
        A pair: the location, and the stack frame that executes the method in which the call is. If
        no module has this method, the innermost frame.
    """
    inner = frames[0]
    file = os.path.basename(inner.f_code.co_filename)
    description = f"{inner.f_code.co_name} ({file}:{inner.f_lineno})"
    span = _span(inner)
    for frame in frames:
        owner = first_argument(frame)
        if isinstance(owner, nn.Module) and _contains(frame.f_code, inner.f_code):
            method = find_method(owner, frame.f_code)
            if method is not None:
                return SourceLocation(owner, method, frame.f_code, span, description), frame
    return SourceLocation(None, None, inner.f_code, span, description), inner


def first_argument(frame: FrameType) -> Any:
    """Return the first argument of the function of a stack frame; None if it has none."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _contains(outer: CodeType, inner: CodeType) -> bool:
    """Return whether `inner` is the code `outer`, or the code of a function defined inside it."""
    return outer is inner or any(
        _contains(constant, inner) for constant in outer.co_consts if isinstance(constant, CodeType)
    )


def _span(frame: FrameType) -> Span:
    if sys.version_info >= (3, 11):
        return tuple(list(frame.f_code.co_positions())[frame.f_lasti // 2])
    return frame.f_lineno, None, None, None
