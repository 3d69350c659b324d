"""Finds the normalisation layers of a model, finds modules by name, and reads their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from hinged import errors

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)

# The names that torch.compile and peft add where they wrap a module.
_WRAPPERS = re.compile(
    r"(?:^|\.)(?:_orig_mod|base_model\.model|base_layer|modules_to_save\.\w+)(?=\.|$)"
)
_REPLACED = re.compile(r"(?:^|\.)original_module(?=\.|$)")


def plain_name(name: str) -> str:
    """Return the name of a module or tensor without the names that wrappers add.

    >>> plain_name("base_model.model.bert.act.modules_to_save.default.values")
    'bert.act.values'
    >>> plain_name("_orig_mod.0"), plain_name("base_model.0")
    ('0', 'base_model.0')
    """
    return _WRAPPERS.sub("", name).removeprefix(".")


def is_replaced(name: str) -> bool:
    """Whether a name belongs to a module that peft has replaced by a trained copy.

    >>> is_replaced("bert.act.original_module.values"), is_replaced("bert.act.values")
    (True, False)
    """
    return _REPLACED.search(name) is not None


def norm_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return a dictionary from names to the normalisation layers of a model.

    A layer with several names in the model appears only once.

    >>> list(norm_layers(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))))
    ['1']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, NORMS)}


def modules_by_name(
    model: nn.Module, names: str | Sequence[str], call: str
) -> dict[str, nn.Module]:
    """Return a dictionary from the given names to the modules of a model with these names.

    Args:
        model: the model.
        names: one name or several names, as `model.named_modules()` returns them.
        call: the name of the public function for error messages.

    Raises:
        ArgumentError: if `names` is neither a name nor a list.
        UnknownNameError: if `names` contains a name that no module of the model has.

    >>> list(modules_by_name(nn.Sequential(nn.Linear(2, 3)), "0", "a call"))
    ['0']
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    if not isinstance(names, Sequence):
        hint = "expected the name of a module or a list of names, as in model.named_modules()"
        raise errors.ArgumentError(errors.message(call, errors.shown(names), hint))
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in modules:
            raise errors.unknown_name(call, name, filter(None, modules))
    return {name: modules[name] for name in wanted}
