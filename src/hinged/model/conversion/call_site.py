"""Where in the source a call stands: which module, which method, which expression."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import torch.nn.functional
import torch.overrides
from torch import nn

from hinged.model.conversion.splice_calls import Position, name_in

_HERE = os.path.dirname(__file__)
_TRANSPARENT = {
    nn.modules.module.__file__,
    torch.nn.functional.__file__,
    torch.overrides.__file__,
    torch._tensor.__file__,
}


@dataclass(eq=False)
class Place:
    """An expression in a method of a module.

    Attributes:
        owner: the module whose method it is, None where it is in no method that can be changed.
        method: the name of the method.
        code: the method's code.
        position: first line, last line, first column, last column of the call, columns in bytes.
        words: file and line, for messages.
        occurrence: how often this execution of the method has been there before.
    """

    owner: nn.Module | None
    method: str
    code: CodeType
    position: Position
    words: str
    occurrence: int = 0

    @property
    def key(self) -> Any:
        """What tells this place from others in one model."""
        return id(self.owner), self.code, self.position, self.occurrence


def calling_frames() -> list[FrameType]:
    """Return the stack, innermost first, from the first frame that is neither ours nor torch's own
    machinery."""
    frame: FrameType | None = sys._getframe(1)
    frames: list[FrameType] = []
    while frame is not None:
        if frames or not _is_machinery(frame.f_code.co_filename):
            frames.append(frame)
        frame = frame.f_back
    return frames


def _is_machinery(file: str) -> bool:
    return file in _TRANSPARENT or os.path.dirname(file) == _HERE


def place_of(frames: list[FrameType]) -> tuple[Place, FrameType]:
    """Return the place of the innermost frame, and the frame of the method it is in."""
    inner = frames[0]
    file = os.path.basename(inner.f_code.co_filename)
    words = f"{inner.f_code.co_name} ({file}:{inner.f_lineno})"
    position = _position(inner)
    for frame in frames:
        owner, name = _method(frame)
        if name and _contains(frame.f_code, inner.f_code):
            return Place(owner, name, frame.f_code, position, words), frame
    return Place(None, inner.f_code.co_name, inner.f_code, position, words), inner


def _method(frame: FrameType) -> tuple[nn.Module | None, str]:
    """Return the module whose method a frame executes, if it is one, and the method's name."""
    code = frame.f_code
    owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
    return (owner, name_in(owner, code)) if isinstance(owner, nn.Module) else (None, "")


def _contains(outer: CodeType, inner: CodeType) -> bool:
    return outer is inner or any(
        _contains(constant, inner) for constant in outer.co_consts if isinstance(constant, CodeType)
    )


def _position(frame: FrameType) -> Position:
    if sys.version_info >= (3, 11):
        return tuple(list(frame.f_code.co_positions())[frame.f_lasti // 2])
    return frame.f_lineno, None, None, None
