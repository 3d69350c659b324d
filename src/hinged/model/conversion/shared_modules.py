"""Distinguishes the uses of one activation module that a model contains several times."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

from torch import nn

from hinged.model.module_tree import all_parents


@contextlib.contextmanager
def separate_copies(
    model: nn.Module, activations: tuple[type[nn.Module], ...]
) -> Iterator[dict[int, nn.Module]]:
    """Replace shared activation modules by copies during a `with` block.

    A model can contain the same module, such as one `nn.ReLU`, under several names. During the
    block, every name has a different object. The first name keeps the original module. The copies
    share the parameters of the original. At the end of the block, the originals are restored.

    Args:
        model: the model.
        activations: additional module classes that compute an elementwise activation.

    Yields:
        The original module of every copy, by the `id` of the copy.
    """
    slots = [
        (parent, name, module)
        for parents in all_parents(model).values()
        for parent, name in parents[1:]
        if isinstance(module := parent._modules[name], nn.Module)
        and _may_be_activation(module, activations)
    ]
    copies = [(_copy_module(module), module) for _, _, module in slots]
    try:
        for (parent, name, _), (copied, _) in zip(slots, copies, strict=True):
            parent._modules[name] = copied
        yield {id(copied): module for copied, module in copies}
    finally:
        for parent, name, module in slots:
            parent._modules[name] = module


def _may_be_activation(module: nn.Module, activations: tuple[type[nn.Module], ...]) -> bool:
    if isinstance(module, (*activations, nn.PReLU)):
        return True
    return not module._modules and not module._parameters and not module._buffers


def _copy_module(module: nn.Module) -> nn.Module:
    """Return a copy with the same parameters, but with separate dictionaries of hooks."""
    copied = copy.copy(module)
    vars(copied).update(
        {name: value.copy() for name, value in vars(copied).items() if isinstance(value, dict)}
    )
    return copied
