"""Units that do nothing: dead and dormant ones, of any activation."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hinged.lab.networks.activations import MODULES
from hinged.lab.networks.published_activations import Contender
from hinged.model.observation.dormant_units import dormant_units

_SAMPLES = 1000
"""Once so many are seen, no further batch is looked at."""


class Idle(NamedTuple):
    """Shares of all units of a network, each between 0 and 1.

    Attributes:
        dead: units (channels) whose output is the same for every sample and place.
        dormant: units with a mean absolute output of at most 0.025 times their layer's, as in
            `hinged.diagnose` (`hinged.model.observation.dormant_units` has the rule).
    """

    dead: float
    dormant: float


class DeadUnitCounter:
    """Sees, as a context, what the units of a network give while it is scored anyway.

    It looks at whole batches until it has seen 1,000 samples, since a look at outputs costs about
    as much as to make them.

    Args:
        model: the network; in evaluation mode while it is applied. A layer that gives outputs of
            several widths in one place has no units to be counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._samples, self._looks = 0, False
        self._calls: Counter[nn.Module] = Counter()
        self._seen: dict[tuple[nn.Module, int], list[_Seen]] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> DeadUnitCounter:
        self._hooks = [self._model.register_forward_pre_hook(self._begin)]
        self._hooks += [a.register_forward_hook(self._see) for a in _activations(self._model)]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def idle(self) -> Idle | None:
        """Return the idle units; None where the network has none of the activations in
        `hinged.lab.networks.activations.MODULES`, or was not applied."""
        same = [p for p in self._seen.values() if len({len(part.sizes) for part in p}) == 1]
        layers = [functools.reduce(_Seen.merge, parts) for parts in same]
        if not layers:
            return None
        dead, dormant = (torch.cat([look(each) for each in layers]) for look in (_dead, _dormant))
        return Idle(dead.double().mean().item(), dormant.double().mean().item())

    def _begin(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._looks = self._samples < _SAMPLES
        if self._looks:
            self._samples += len(inputs[0])
            self._calls.clear()

    def _see(self, layer: nn.Module, _: object, outputs: Tensor) -> None:
        if self._looks:
            self._calls[layer] += 1
            place = layer, self._calls[layer]
            self._seen.setdefault(place, []).append(_Seen.of(outputs))


def _activations(model: nn.Module) -> list[nn.Module]:
    """Return the activations, but none that an activation of the user's own is made of."""
    own = [module for module in model.modules() if isinstance(module, Contender)]
    parts = {id(part) for module in own for part in module.inner.modules()}
    return [m for m in model.modules() if isinstance(m, MODULES) and id(m) not in parts]


@dataclass(frozen=True, eq=False)
class _Seen:
    """Extremes, sum of sizes and number of the outputs of each unit of a layer, `(C,)`."""

    low: Tensor
    high: Tensor
    sizes: Tensor
    count: int

    @classmethod
    def of(cls, outputs: Tensor) -> _Seen:
        """Return what outputs `(N, C, ...)` are like."""
        own = outputs.detach().float()
        others = [axis for axis in range(own.dim()) if axis != 1]
        count = own.numel() // own.shape[1]
        return cls(own.amin(others), own.amax(others), own.abs().sum(others), count)

    def merge(self, other: _Seen) -> _Seen:
        """Return what both together are like."""
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return _Seen(low, high, self.sizes + other.sizes, self.count + other.count)


def _dead(seen: _Seen) -> Tensor:
    return seen.low == seen.high


def _dormant(seen: _Seen) -> Tensor:
    return dormant_units(seen.sizes / seen.count)
