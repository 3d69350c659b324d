"""Stores the states of random number generators, and restores them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

_Restore = Callable[[], object]


class RandomState:
    """The states of all generators of random numbers that a model may use.

    These are the global generators of Python, numpy and torch, also those of torch on the devices
    of the model, and generators that are attributes of the model's modules.

    Args:
        model: the model.

    >>> state = RandomState(nn.Dropout())
    >>> first, _ = torch.rand(1), state.restore()
    >>> torch.equal(torch.rand(1), first)
    True
    """

    def __init__(self, model: nn.Module) -> None:
        own = (value for module in model.modules() for value in vars(module).values())
        self._restore = [
            *_global_states(),
            *(_device_state(device) for device in sorted(_accelerators_of(model), key=str)),
            *(restore for value in own for restore in _own_state(value)),
        ]

    def restore(self) -> None:
        """Give all generators the states that they had when this object was made."""
        for restore in self._restore:
            restore()


def _global_states() -> Iterator[_Restore]:
    python, cpu = random.getstate(), torch.get_rng_state()
    yield lambda: random.setstate(python)
    yield lambda: torch.set_rng_state(cpu)
    numpy = sys.modules.get("numpy")  # A model that uses numpy has imported it.
    if numpy is not None:
        state = numpy.random.get_state()
        yield lambda: numpy.random.set_state(state)


def _accelerators_of(model: nn.Module) -> set[torch.device]:
    tensors = (*model.parameters(), *model.buffers())
    return {tensor.device for tensor in tensors if tensor.device.type not in ("cpu", "meta")}


def _device_state(device: torch.device) -> _Restore:
    module = torch.get_device_module(device)
    state = module.get_rng_state(device)
    return lambda: module.set_rng_state(state, device)


def _own_state(value: Any) -> Iterator[_Restore]:
    """Yield a function that restores the state of `value`, if `value` is a generator."""
    numpy: Any = sys.modules.get("numpy")
    if isinstance(value, torch.Generator):
        torch_state = value.get_state()
        yield lambda: value.set_state(torch_state)
    elif isinstance(value, random.Random):
        python_state = value.getstate()
        yield lambda: value.setstate(python_state)
    elif numpy is not None and isinstance(value, numpy.random.RandomState):
        numpy_state = value.get_state()
        yield lambda: value.set_state(numpy_state)
    elif numpy is not None and isinstance(value, numpy.random.Generator):
        bits, bits_state = value.bit_generator, value.bit_generator.state
        yield lambda: setattr(bits, "state", bits_state)
