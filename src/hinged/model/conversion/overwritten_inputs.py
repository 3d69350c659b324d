"""Which activations have written into memory that is read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from hinged.model.conversion.calls import Call


@dataclass(eq=False)
class _Written:
    call: Call
    form: tuple[Any, ...]
    dtype: torch.dtype
    memory: StorageWeakRef  # Keeps the address from being used for something else.


class Overwritten:
    """What activations in place have overwritten, by memory, so that views are seen through."""

    def __init__(self) -> None:
        self._written: dict[int, list[_Written]] = {}

    def write(self, x: Tensor, call: Call) -> None:
        """Note that a call has overwritten a tensor."""
        memory = x.untyped_storage()
        new = _Written(call, _form(x), x.dtype, StorageWeakRef(memory))
        self._written.setdefault(memory._cdata, []).append(new)

    def read(self, x: Tensor) -> None:
        """Note that a tensor is read: calls that have overwritten any of it are aliased."""
        if not self._written or x.layout is not torch.strided:
            return
        for written in self._written.get(x.untyped_storage()._cdata, ()):
            if not written.call.aliased:
                written.call.aliased = _overlap(written, x)


def _overlap(written: _Written, x: Tensor) -> bool:
    if written.form == _form(x) or written.dtype != x.dtype:
        return True
    size = x.untyped_storage().nbytes() // x.element_size()
    touched = torch.zeros(size, dtype=torch.bool, device=x.device)
    touched.as_strided(*written.form).fill_(True)
    return bool(touched.as_strided(*_form(x)).any())


def _form(x: Tensor) -> tuple[Any, ...]:
    return x.size(), x.stride(), x.storage_offset()
