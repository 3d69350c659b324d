"""Units that do nothing: dead and dormant ones, of any activation."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged.lab.activations import MODULES
from hinged.lab.contenders import Contender
from hinged.lab.data import DataSet
from hinged.lab.phases import set_training

_SAMPLES = 1000


class Idle(NamedTuple):
    """Shares of all units of a network, each between 0 and 1.

    Attributes:
        dead: units (channels) whose output is the same for every sample and place.
        dormant: units whose mean absolute output is at most 0.025 of their layer's, as in
            `hinged.diagnose`. Source: Sokar, Agarwal, Castro and Evci, "The dormant neuron
            phenomenon in deep reinforcement learning" (ICML 2023).
    """

    dead: float
    dormant: float


def idle_units(model: nn.Module, data: DataSet) -> Idle | None:
    """Return the idle units on the first 1,000 training samples, in evaluation mode; None where
    the network has none of the activations in `hinged.lab.activations.MODULES`."""
    layers = _activations(model)
    if not layers:
        return None
    seen: list[tuple[Tensor, Tensor]] = []
    was_training = model.training
    device = next(model.parameters()).device
    with ExitStack() as stack, torch.no_grad():
        for layer in layers:
            hook = layer.register_forward_hook(lambda module, x, y: seen.append(_units(y)))
            stack.callback(hook.remove)
        model.eval()(data.scaled(data.x_train[:_SAMPLES].to(device)))
    set_training(model, was_training)
    dead, dormant = (torch.cat(flags).double().mean().item() for flags in zip(*seen, strict=True))
    return Idle(dead, dormant)


def _activations(model: nn.Module) -> list[nn.Module]:
    """Return the activations, but none that an activation of the user's own is made of."""
    own = [module for module in model.modules() if isinstance(module, Contender)]
    parts = {id(part) for module in own for part in module.inner.modules()}
    return [m for m in model.modules() if isinstance(m, MODULES) and id(m) not in parts]


def _units(outputs: Tensor, threshold: float = 0.025) -> tuple[Tensor, Tensor]:
    """Return which units of a layer's outputs `(N, C, ...)` are dead and dormant, `(C,)` each."""
    units = outputs.float().transpose(0, 1).flatten(1)
    sizes = units.abs().mean(dim=1)
    return units.amin(dim=1) == units.amax(dim=1), sizes <= threshold * sizes.mean()
