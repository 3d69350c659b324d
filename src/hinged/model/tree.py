"""Modules and the parents_of where a model holds them."""

from __future__ import annotations

from torch import nn

from hinged import errors

# A module's hooks; those of `state_dict` belong to its own state and stay behind.
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


def parents_of(model: nn.Module, module: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return every parent that holds a module, with the name it has there.

    A module may be held by several parents, or by one under several names, of which
    `named_children` tells the first only.

    >>> relu = nn.ReLU()
    >>> model = nn.Sequential(relu, nn.Sequential(relu, nn.Linear(2, 2), relu))
    >>> [name for parent, name in parents_of(model, relu)]
    ['0', '0', '2']
    """
    return [
        (parent, name)
        for parent in model.modules()
        for name, child in parent._modules.items()
        if child is module
    ]


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in the place of another, wherever a model holds it.

    The new one, which must be without hooks, takes over the training flag and the hooks for forward
    and backward passes; their handles still remove them.

    Raises:
        ArgumentError: the model does not hold the old module, or is that module itself.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> replace_module(model, model[1], nn.GELU())
    >>> model[1]
    GELU(approximate='none')
    """
    held = parents_of(model, old)
    if not held:
        got = f"a {type(old).__name__} that the {type(model).__name__} does not hold"
        hint = "a module can be replaced where a parent holds it: wrap it in nn.Sequential"
        raise errors.ArgumentError(errors.message("hinged.model.replace_module(old)", got, hint))
    for name in _HOOKS:
        setattr(new, name, getattr(old, name))
    new.train(old.training)
    for parent, name in held:
        parent._modules[name] = new
