"""Whether the hinges of a layer are equally spaced, also after they were overwritten in place."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from hinged.curve.evaluate import is_uniform
from hinged.kernels.eager_calls import has_dispatch_modes, has_readable_values, is_exporting


class HingeSpacing:
    """Remembers whether the hinges of a layer are equally spaced.

    If each call compared the hinges, it would have to wait for a GPU. Averages of weights (EMA,
    SWA) and the loading of states overwrite hinges in place. The version of a tensor, which counts
    its changes, shows this. On a CPU, the hinges are compared at each call. This also notices
    changes that the version does not count, as through `hinges.data`. Hinges from inference mode
    have no version, so their spacing counts as unknown on a GPU.

    Args:
        hinges: the hinges of the layer.
        uniform: whether they are equally spaced. None to compare them when this is needed.

    >>> import torch
    >>> hinges = torch.tensor([-1.0, 0.0, 1.0])
    >>> spacing = HingeSpacing(hinges)
    >>> before = spacing.is_uniform(hinges)
    >>> before, spacing.is_uniform(hinges.copy_(torch.tensor([-1.0, 0.0, 3.0])))
    (True, False)
    """

    def __init__(self, hinges: Tensor, uniform: bool | None = None) -> None:
        self._hinges = hinges
        self._uniform = bool(uniform)
        self._version = -1 if uniform is None else _version_of(hinges)
        self._seen: Tensor | None = None  # The hinges on a CPU when they were last compared.

    def is_uniform(self, hinges: Tensor) -> bool:
        """Return whether `hinges` are the layer's hinges and are equally spaced.

        The result is False for other hinges, as `functional_call` passes them. A non-strict export
        replaces the hinges by a tensor without values. In that case, the layer's hinges decide.
        """
        is_own = hinges is self._hinges or (
            is_exporting(if_unknown=False) and hinges.shape == self._hinges.shape
        )
        return is_own and self._own_are_uniform()

    def _own_are_uniform(self) -> bool:
        own = self._hinges
        if own.is_inference() and not own.is_cpu:
            return False
        if (own.is_cpu or _version_of(own) != self._version) and has_readable_values(own):
            # The modes are those of an export, for example.
            with _disable_current_modes() if has_dispatch_modes() else nullcontext():
                self._compare()
        return self._uniform and _version_of(own) == self._version

    def _compare(self) -> None:
        own = self._hinges
        if own.is_cpu:
            if self._seen is not None and torch.equal(own, self._seen):
                self._version = _version_of(own)
                return
            self._seen = own.clone()
        self._uniform, self._version = is_uniform(own), _version_of(own)

    # The compiler calls the method instead of tracing it, because it cannot trace the version. This
    # has the effect of `torch.compiler.assume_constant_result`, which imports the compiler (1 s).
    _own_are_uniform._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The versions of a copy's hinges begin anew.
        self.__dict__.update(state, _version=-1)


def _version_of(hinges: Tensor) -> int:
    """Return how often a tensor was changed. Tensors made in inference mode do not count it."""
    return 0 if hinges.is_inference() else hinges._version
