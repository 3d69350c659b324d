"""Separates activation modules that a model contains under several names."""

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
    `with` block, the first name keeps this module, and every other name has a copy. The copies
    share the parameters of the original module. After the block, all names have the original again.

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
    """Return a copy of a module that shares its parameters, but has separate hooks."""
    copied = copy.copy(module)
    vars(copied).update(
        {name: value.copy() for name, value in vars(copied).items() if isinstance(value, dict)}
    )
    return copied
