"""`InputObserver`: measures the inputs of a curve layer in some forward passes of a training."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from hinged.kernels.metric_kernel import input_moments
from hinged.nn.piecewise_linear import PiecewiseLinear


class InputObserver:
    """Forward pre-hook that measures the inputs of one layer for its metric, when they are needed.

    The hook belongs to the layer, so a copy of the layer has a copy of the hook.

    Attributes:
        layer: the layer.
        needed: whether the next forward passes are to be measured.
    """

    def __init__(self, layer: PiecewiseLinear) -> None:
        self.layer = layer
        self.needed = True
        self._sum: Tensor | None = None
        self._passes = 0
        self._hinges_seen: tuple[int, int] | None = None
        _observers.add(self)

    def hinges_changed(self) -> bool:
        """Return whether the hinges may have changed since the last call. No numbers are compared,
        because this would have to wait for a GPU."""
        hinges = self.layer.hinges
        now = id(hinges), hinges._version
        changed = now != self._hinges_seen
        self._hinges_seen = now
        return changed

    def __call__(self, _layer: nn.Module, args: tuple[Any, ...]) -> None:
        """Measure the inputs of a forward pass that computes gradients."""
        if not self.needed or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return
        hinges, channels = self.layer.hinges, self.layer.channels
        with torch.no_grad():
            moments = input_moments(args[0].detach(), hinges, channels, self.layer.dim)
        self._sum = moments if self._sum is None else self._sum + moments
        self._passes += 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hinges_seen = None
        _observers.add(self)

    def take(self) -> tuple[Tensor | None, int]:
        """Return the sum of the moments of all measured forward passes and their number, and forget
        them."""
        taken = self._sum, self._passes
        self._sum, self._passes = None, 0
        return taken


_observers: weakref.WeakSet[InputObserver] = weakref.WeakSet()


def observe_inputs(layer: PiecewiseLinear) -> None:
    """Add an `InputObserver` to a layer that has none."""
    if not any(isinstance(hook, InputObserver) for hook in layer._forward_pre_hooks.values()):
        layer.register_forward_pre_hook(InputObserver(layer))


def observers_by_values() -> dict[int, InputObserver]:
    """Return the observers of all layers. The keys are the `id` of the parameters `values`."""
    return {id(observer.layer._parameters.get("values")): observer for observer in list(_observers)}
