"""Decides whether the passes of a loop have one activation for all, or one for each."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import same_activation

Calls = dict[Any, ActivationCall]
"""Calls by their location and occurrence, in the order of their first execution."""


def merge_passes(calls: Calls) -> Calls:
    """Merge the calls in the passes of each loop, unless different layers compute their inputs.

    In a loop over layers, such as `for layer in self.layers: x = F.relu(layer(x))`, every pass is
    an activation of its own. In a loop over time steps or parts of a batch, the same layers compute
    the input in each pass, and the number of passes can change. All passes are then one activation.

    Args:
        calls: all calls in a model. Every pass of a loop is a separate call.
    """
    by_source: dict[Any, list[Any]] = defaultdict(list)
    for key, call in calls.items():
        location = call.location
        source = id(location.owner), location.code, location.span, location.called
        by_source[source, id(call.module)].append(key)
    merged = dict(calls)
    for first, *others in by_source.values():
        passes = [calls[first], *(calls[key] for key in others)]
        if not _is_one_activation(passes):
            for each in passes:
                each.passes = 1 + max(other.location.occurrence for other in passes)
            continue
        passes[0].is_in_every_pass = True
        for key, other in zip(others, passes[1:], strict=True):
            passes[0].count += other.count
            passes[0].merge(other, statistics=True)
            del merged[key]
    return merged


def _is_one_activation(passes: list[ActivationCall]) -> bool:
    if not all(same_activation(passes[0].native, other.native) for other in passes):
        return False
    if any(each.is_fed_by_several for each in passes):
        return True
    pairs = itertools.combinations((each.fed_by for each in passes), 2)
    return len(passes) == 1 or any(one == other for one, other in pairs)
