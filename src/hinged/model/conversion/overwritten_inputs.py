"""Finds in-place activations whose overwritten input the model reads again later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from hinged.model.conversion.activation_call import ActivationCall


@dataclass(eq=False)
class _Write:
    call: ActivationCall
    view: tuple[Any, ...]
    dtype: torch.dtype
    memory: StorageWeakRef  # While it exists, its address is not reused.


class OverwrittenInputs:
    """Records which regions of memory the in-place activations of a model have overwritten, and
    where the model overwrites the input of an activation later.

    Memory is recorded instead of tensors, because several tensors (views) can share memory.
    """

    def __init__(self) -> None:
        self._writes: dict[int, list[_Write]] = {}
        self._inputs: dict[int, list[tuple[ActivationCall, StorageWeakRef]]] = {}

    def note_input(self, x: Tensor, call: ActivationCall) -> None:
        """Record that `x` is the input of an activation call."""
        if _has_memory(x) and not call.conflict:
            memory = x.untyped_storage()
            entry = call, StorageWeakRef(memory)
            self._inputs.setdefault(memory._cdata, []).append(entry)

    def note_overwriting(self, x: Tensor) -> None:
        """Mark the calls whose input is in the memory of `x`, which the model has overwritten.

        Torch refuses the gradients of an operation that needs this input, also if only another part
        of the memory was overwritten.
        """
        if self._inputs and _has_memory(x):
            for call, _ in self._inputs.get(x.untyped_storage()._cdata, ()):
                call.input_is_overwritten = True

    def note_write(self, x: Tensor, call: ActivationCall) -> None:
        """Record that an activation call has written into the tensor `x`."""
        if x.is_nested:
            call.conflict = "it writes into a nested tensor"
            return
        memory = x.untyped_storage()
        write = _Write(call, _view(x), x.dtype, StorageWeakRef(memory))
        self._writes.setdefault(memory._cdata, []).append(write)

    def note_read(self, x: Tensor) -> None:
        """Record that the model reads `x`, and mark the calls that have overwritten its memory.

        Marked means that `overwrites_used_input` of the call is set to True.
        """
        if not self._writes or not _has_memory(x):
            return
        for write in self._writes.get(x.untyped_storage()._cdata, ()):
            if not write.call.overwrites_used_input:
                write.call.overwrites_used_input = _overlap(write, x)


def changes_of(x: Any) -> int:
    """Return how often a tensor was overwritten, as torch counts it; 0 for all other objects."""
    return x._version if isinstance(x, Tensor) and not x.is_inference() else 0


def _has_memory(x: Tensor) -> bool:
    return not x.is_nested and x.layout is torch.strided


def _overlap(write: _Write, x: Tensor) -> bool:
    """Return whether a recorded write has overwritten memory of the tensor `x`."""
    if write.view == _view(x) or write.dtype != x.dtype:
        return True
    size = x.untyped_storage().nbytes() // x.element_size()
    overwritten = torch.zeros(size, dtype=torch.bool, device=x.device)
    overwritten.as_strided(*write.view).fill_(True)
    return bool(overwritten.as_strided(*_view(x)).any())


def _view(x: Tensor) -> tuple[Any, ...]:
    return x.size(), x.stride(), x.storage_offset()
