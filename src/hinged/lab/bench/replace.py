"""Puts other activations in the place of a network's `nn.ReLU` modules, for timing."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab.activations import Factory


def replace_relus(model: nn.Module, sample: Tensor, activation: Factory) -> nn.Module:
    """Replace every `nn.ReLU` that a forward pass of `model` meets, in place.

    A module that is called at several places becomes one activation: the same work as one for each
    place. The channels are axis 1 of what it is given.

    Args:
        model: the network; its buffers and mode stay as they are.
        sample: a batch it takes.
        activation: makes the activation for a number of channels.

    Returns:
        The model.

    Raises:
        ArgumentError: a module is called with different numbers of channels.
    """
    for name, channels in widths(model, sample).items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, activation(channels))
    return model


def widths(model: nn.Module, sample: Tensor) -> dict[str, int]:
    """Return the number of channels of every `nn.ReLU` that is called, by its name.

    Raises:
        ArgumentError: a module is called with different numbers of channels.
    """
    found: dict[str, set[int]] = {}

    def note(name: str, x: Tensor) -> None:
        found.setdefault(name, set()).add(x.shape[1])

    was_training = model.training
    with ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.ReLU):
                hook = module.register_forward_pre_hook(
                    lambda module, arguments, name=name: note(name, arguments[0])
                )
                stack.callback(hook.remove)
        model.eval()(sample)
    model.train(was_training)
    for name, channels in found.items():
        if len(channels) > 1:
            came = f"{name} called with {' and '.join(map(str, sorted(channels)))} channels"
            cure = "give each place a module of its own"
            raise errors.ArgumentError(errors.sentence("nn.ReLU", came, cure))
    return {name: channels.pop() for name, channels in found.items()}
