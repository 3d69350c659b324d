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
    """Records which regions of memory the in-place activations of a model have overwritten.

    Memory is recorded instead of tensors, because several tensors (views) can share memory.
    """

    def __init__(self) -> None:
        self._writes: dict[int, list[_Write]] = {}

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
        if not self._writes or x.is_nested or x.layout is not torch.strided:
            return
        for write in self._writes.get(x.untyped_storage()._cdata, ()):
            if not write.call.overwrites_used_input:
                write.call.overwrites_used_input = _overlap(write, x)


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
