"""Finds copies of trained parts of a model, which follow the trained parts without gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.module_tree import Parents

_SIMILAR = 0.9  # Moving averages of trained weights stay similar to them.


def treat_copies_as_trained(
    calls: Collection[ActivationCall], parents: Mapping[int, Parents]
) -> None:
    """Let copies of trained parts of a model be converted as these parts are.

    In a model with a moving average of its weights, such as a momentum encoder, no gradients reach
    the average. The training code pairs its parameters with those of the trained part, so both must
    have the same ones.

    Args:
        calls: all calls of activations in the model. The reason `untrained` of the calls in copies
            is removed.
        parents: the parents of every module, by the `id` of the module.
    """
    trained: dict[Any, list[nn.Module]] = defaultdict(list)
    for call in calls:
        for owner in [] if call.untrained else _owners(call, parents):
            trained[_place_in(owner, call)].append(owner)
    for call in calls:
        for owner in _owners(call, parents) if call.untrained else []:
            others = trained.get(_place_in(owner, call), [])
            if any(_are_similar(owner, other) for other in others):
                call.untrained = ""


def _owners(call: ActivationCall, parents: Mapping[int, Parents]) -> list[nn.Module]:
    """Return the module whose method contains a call. If none does, those of the called module."""
    owner = call.location.owner
    return [owner] if owner is not None else [each for each, _ in parents.get(id(call.module), [])]


def _place_in(owner: nn.Module, call: ActivationCall) -> Any:
    """Return what two calls have in common that are at the same place in modules of one class."""
    location = call.location
    names = tuple(name for name, child in owner._modules.items() if child is call.module)
    return type(owner), location.code, location.span, location.occurrence, names


def _are_similar(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two modules have parameters of the same shapes and with similar numbers."""
    weights = [dict(module.named_parameters()) for module in (one, other)]
    shapes = [{name: each.shape for name, each in named.items()} for named in weights]
    if one is other or not shapes[0] or shapes[0] != shapes[1]:
        return False
    with torch.no_grad():
        first, second = (
            torch.cat([each.flatten().float() for each in named.values()]) for named in weights
        )
        return torch.cosine_similarity(first, second, dim=0).item() > _SIMILAR
