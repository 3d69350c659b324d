"""Finds and replaces modules inside a model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import nn

from hinged import errors

Parents = list[tuple[nn.Module, str]]

# Hooks for `state_dict` are not shared, because they depend on the state of the old module.
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_always_called",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)

REPLACED = "_hinged_replaced"
"""Name of the attribute of a layer that stores which module it has replaced."""


@dataclass
class ReplacedModule:
    """The module that a layer has replaced in a model.

    Attributes:
        module: the module.
        dtype: the dtype that the layer had then.
    """

    module: nn.Module
    dtype: torch.dtype


def all_parents(model: nn.Module) -> dict[int, Parents]:
    """Return a dictionary from the `id` of every module in a model to the parents of that module.

    The parents are a list of pairs `(parent, name)`: the parent module, and the name of the child
    in this parent.
    """
    parents: dict[int, Parents] = defaultdict(list)
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                parents[id(child)].append((parent, name))
    return parents


def parents_of(model: nn.Module, module: nn.Module) -> Parents:
    """Return every parent of a module, with the name that the module has in this parent.

    A parent is a module that has `module` as a direct child. A module can have several parents, and
    several names in one parent. The result contains every combination of parent and name.
    (`named_children` would return only the first name.)

    Args:
        model: the model that is searched.
        module: the module whose parents are returned.

    Returns:
        A list of pairs `(parent, name)`. The list is empty if `module` has no parent in the model.

    >>> relu = nn.ReLU()
    >>> model = nn.Sequential(relu, nn.Sequential(relu, nn.Linear(2, 2), relu))
    >>> [name for parent, name in parents_of(model, relu)]
    ['0', '0', '2']
    """
    return all_parents(model).get(id(module), [])


def share_hooks(old: nn.Module, new: nn.Module) -> None:
    """Let the new module use the forward and backward hooks of the old module.

    The new module must not have hooks yet. Both modules then share the same dictionaries of hooks.
    If the user removes a hook by its handle, both modules lose the hook. If the old module has no
    hooks, nothing is shared: a hook that is added to one of several new modules later then belongs
    to it alone.
    """
    if not any(getattr(old, name) for name in _HOOKS):
        return
    for name in _HOOKS:
        setattr(new, name, getattr(old, name))


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module of a model by another module, in every parent of the old module.

    The new module must not have hooks. It receives the training flag and the forward and backward
    hooks of the old module. The user can still remove these hooks by their handles.

    Args:
        model: the model. It is changed in place.
        old: the module to replace.
        new: the module that takes its place.

    Raises:
        ArgumentError: if the model does not contain `old`, or if `old` is the model itself.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> replace_module(model, model[1], nn.GELU())
    >>> model[1]
    GELU(approximate='none')
    """
    parents = parents_of(model, old)
    if not parents:
        got = f"a {type(old).__name__} that the {type(model).__name__} does not contain"
        hint = "pass a module that has a parent in the model"
        raise errors.ArgumentError(errors.message("hinged.model.replace_module(old)", got, hint))
    share_hooks(old, new)
    new.train(old.training)
    if REPLACED in vars(old):
        vars(new)[REPLACED] = vars(old)[REPLACED]
    for parent, name in parents:
        parent._modules[name] = new
