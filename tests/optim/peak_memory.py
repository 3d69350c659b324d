"""Measures how much memory tensors need."""

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Records the most bytes in memory at one time, of tensors that are made in the `with` block.

    Attributes:
        bytes: the number of bytes.
    """

    def __init__(self):
        super().__init__()
        self.bytes = 0
        self._living = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                self._living[StorageWeakRef(storage)] = storage.nbytes()
        self._living = {ref: size for ref, size in self._living.items() if not ref.expired()}
        self.bytes = max(self.bytes, sum(self._living.values()))
        return result
