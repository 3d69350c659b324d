"""The shares of dead and dormant units in a network, for any activation."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hinged.lab.networks.activations import ACTIVATION_MODULES
from hinged.lab.networks.published_activations import WrappedActivation
from hinged.model.observation.dormant_units import dormant_units

_ENOUGH_SAMPLES = 1000


class DeadUnitShares(NamedTuple):
    """The shares of dead and dormant units among all units of a network, from 0 to 1.

    A unit is one channel of an activation's outputs.

    Attributes:
        dead: share of units whose output is the same for all samples and pixels.
        dormant: share of units that have small outputs compared with other units of the same layer.
            The mean absolute output of a dormant unit is at most 0.025 times the mean over all
            units of the layer. `hinged.diagnose` uses the same rule.
    """

    dead: float
    dormant: float


class DeadUnitCounter:
    """A context manager that observes the outputs of a network's activations.

    Call the network in the `with` block. The counter observes the first 1,000 samples, up to the
    end of the batch that contains sample 1,000. Observing outputs takes about as long as computing
    them.

    A layer whose number of channels changes between batches is left out.

    Args:
        model: the network. It must be in evaluation mode in the `with` block.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._samples, self._observing = 0, False
        self._calls: Counter[nn.Module] = Counter()
        self._observed: dict[tuple[nn.Module, int], list[_OutputStatistics]] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> DeadUnitCounter:
        self._hooks = [self._model.register_forward_pre_hook(self._start_batch)]
        self._hooks += [a.register_forward_hook(self._observe) for a in _activations(self._model)]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def shares(self) -> DeadUnitShares | None:
        """Return the shares of dead and dormant units, over all observed outputs.

        Returns:
            The shares. None if the network was not called in the `with` block, or if it has no
            module of a class in `hinged.lab.networks.activations.ACTIVATION_MODULES`.
        """
        layers = [
            functools.reduce(_OutputStatistics.merge, batches)
            for batches in self._observed.values()
            if len({len(batch.magnitudes) for batch in batches}) == 1
        ]
        if not layers:
            return None
        dead, dormant = (torch.cat([find(x) for x in layers]) for find in (_dead, _dormant))
        return DeadUnitShares(dead.double().mean().item(), dormant.double().mean().item())

    def _start_batch(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._observing = self._samples < _ENOUGH_SAMPLES
        if self._observing:
            self._samples += len(inputs[0])
            self._calls.clear()

    def _observe(self, layer: nn.Module, _: object, outputs: Tensor) -> None:
        if self._observing:
            self._calls[layer] += 1
            call = layer, self._calls[layer]
            self._observed.setdefault(call, []).append(_OutputStatistics.of(outputs))


def _activations(model: nn.Module) -> list[nn.Module]:
    """Return the activations of a model, without modules inside a `WrappedActivation`."""
    wrapped = [module for module in model.modules() if isinstance(module, WrappedActivation)]
    inside = {id(part) for module in wrapped for part in module.inner.modules()}
    return [m for m in model.modules() if isinstance(m, ACTIVATION_MODULES) and id(m) not in inside]


@dataclass(frozen=True, eq=False)
class _OutputStatistics:
    """Statistics of the outputs of each unit in a layer with `C` units.

    Attributes:
        low: the smallest output of each unit, `(C,)`.
        high: the largest output of each unit, `(C,)`.
        magnitudes: the sum of the absolute outputs of each unit, `(C,)`.
        count: the number of outputs of each unit.
    """

    low: Tensor
    high: Tensor
    magnitudes: Tensor
    count: int

    @classmethod
    def of(cls, outputs: Tensor) -> _OutputStatistics:
        """Return the statistics of a layer's outputs `(N, C, ...)`."""
        outputs = outputs.detach().float()
        axes = [axis for axis in range(outputs.dim()) if axis != 1]
        count = outputs.numel() // outputs.shape[1]
        return cls(outputs.amin(axes), outputs.amax(axes), outputs.abs().sum(axes), count)

    def merge(self, other: _OutputStatistics) -> _OutputStatistics:
        """Return the statistics of the outputs in `self` and `other` together."""
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        magnitudes = self.magnitudes + other.magnitudes
        return _OutputStatistics(low, high, magnitudes, self.count + other.count)


def _dead(outputs: _OutputStatistics) -> Tensor:
    return outputs.low == outputs.high


def _dormant(outputs: _OutputStatistics) -> Tensor:
    return dormant_units(outputs.magnitudes / outputs.count)
