"""Finds and replaces modules in a model."""

from __future__ import annotations

from collections import defaultdict

from torch import nn

from hinged import errors

Parents = list[tuple[nn.Module, str]]

# Hooks of `state_dict` are not listed: they handle the state of their own module only.
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


def all_parents(model: nn.Module) -> dict[int, Parents]:
    """Return the parents of every module in a model, as `parents_of` does, by the module's `id`."""
    parents: dict[int, Parents] = defaultdict(list)
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                parents[id(child)].append((parent, name))
    return parents


def parents_of(model: nn.Module, module: nn.Module) -> Parents:
    """Return every parent of a module, with the module's name in that parent.

    A module can have several parents, or several names in one parent. `named_children` gives only
    the first of these names.

    >>> relu = nn.ReLU()
    >>> model = nn.Sequential(relu, nn.Sequential(relu, nn.Linear(2, 2), relu))
    >>> [name for parent, name in parents_of(model, relu)]
    ['0', '0', '2']
    """
    return all_parents(model).get(id(module), [])


def share_hooks(old: nn.Module, new: nn.Module) -> None:
    """Give a module without hooks the forward and backward hooks of another.

    Both modules then hold the same hooks, so the handles of the old hooks remove them from both.
    """
    for name in _HOOKS:
        setattr(new, name, getattr(old, name))


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module by another, in every parent that has it.

    The new module must have no hooks. It takes over the training flag and the forward and backward
    hooks; existing handles still remove these hooks.

    Raises:
        ArgumentError: the model does not contain the old module, or is that module itself.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> replace_module(model, model[1], nn.GELU())
    >>> model[1]
    GELU(approximate='none')
    """
    parents = parents_of(model, old)
    if not parents:
        got = f"a {type(old).__name__} that the {type(model).__name__} does not contain"
        hint = "a module can be replaced only inside a parent: wrap it in nn.Sequential"
        raise errors.ArgumentError(errors.message("hinged.model.replace_module(old)", got, hint))
    share_hooks(old, new)
    new.train(old.training)
    for parent, name in parents:
        parent._modules[name] = new
