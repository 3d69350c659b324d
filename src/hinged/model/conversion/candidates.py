"""Runs a model to find all activations that could be replaced by curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import BOUNDED, UNSUITABLE
from hinged.model.conversion.rewrite_method import CannotRewriteError
from hinged.model.conversion.shared_modules import separate_copies
from hinged.model.conversion.targets import (
    CallInMethod,
    ModuleSlot,
    method_targets,
    module_slot_targets,
)
from hinged.model.conversion.trace_activations import trace_activations
from hinged.model.module_tree import all_parents
from hinged.model.observation.run_model import ModelInputs, model_inputs, state_restored

Calls = dict[Any, ActivationCall]
"""Calls by location and occurrence, in the order of their first execution."""
ActivationTypes = tuple[type[nn.Module], ...]


@dataclass(eq=False)
class Candidate:
    """A call of an activation that could be replaced by curves.

    Attributes:
        call: the call.
        in_first_batch: the first batch reaches the call, in the current mode of the model.
        target: where its curves go; None if it is skipped or if the model itself is the activation.
        skipped: why it cannot be replaced; empty if it can.
    """

    call: ActivationCall
    in_first_batch: bool
    target: ModuleSlot | CallInMethod | None
    skipped: str


@dataclass(eq=False)
class SearchResult:
    """The result of `find_candidates`.

    Attributes:
        candidates: every activation that the model applies to the data, in order.
        notes: sentences about what could not be examined.
        inputs: positional and keyword arguments of the first batch.
        output: output of the model for the first batch.
    """

    candidates: list[Candidate]
    notes: list[str]
    inputs: ModelInputs
    output: Any


def find_candidates(
    model: nn.Module,
    data: Any,
    call: str,
    *,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
) -> SearchResult:
    """Return every activation that the model applies to the data, and where its curves could go.

    The model runs over the data once in its current mode. It runs over the first batch again in
    the other mode (training or evaluation), because some models apply other activations there.

    Args:
        model, data, gates, activations: as in `hinged.convert`.
        call: the public function that the user called, for messages.
    """
    types = tuple(activations)
    with separate_copies(model, types) as originals:
        calls, reached, inputs, output = _trace_batches(
            model, model_inputs(model, data, call), types
        )
        notes = _trace_other_mode(model, inputs, types, calls)
        calls = _merge_calls_in_copies(calls, originals)
        slots = module_slot_targets(calls.values(), all_parents(model))
        for each in calls.values():
            each.module = originals.get(id(each.module), each.module)
    candidates = [
        Candidate(each, each in reached, slots.get(each), _reason_to_skip(each, gates))
        for each in calls.values()
    ]
    _set_method_targets(candidates, model)
    return SearchResult(candidates, notes, inputs, output)


def _trace_batches(
    model: nn.Module, all_inputs: Iterator[ModelInputs], types: ActivationTypes
) -> tuple[Calls, set[ActivationCall], ModelInputs, Any]:
    """Return the calls in all batches and those in the first batch, and the first batch with its
    output."""
    calls: Calls = {}
    with state_restored(model):
        first_inputs = next(all_inputs)
        first_calls, first_output = trace_activations(model, first_inputs, types)
        _add_calls(calls, first_calls, statistics=True)
        reached = set(calls.values())
        for inputs in all_inputs:
            new_calls, _ = trace_activations(model, inputs, types)
            _add_calls(calls, new_calls, statistics=True)
    return calls, reached, first_inputs, first_output


def _trace_other_mode(
    model: nn.Module, inputs: ModelInputs, types: ActivationTypes, calls: Calls
) -> list[str]:
    """Add the calls of the other mode, without statistics; return a note if the model fails."""
    with state_restored(model):
        model.train(not model.training)
        try:
            new_calls, _ = trace_activations(model, inputs, types)
        except Exception as error:  # The other mode may need other inputs; any error is possible.
            mode = "training" if model.training else "evaluation"
            got = f"{type(error).__name__}: {error}".splitlines()[0]
            return [f"The model could not be examined in {mode} mode: {got}"]
    _add_calls(calls, new_calls, statistics=False)
    return []


def _add_calls(calls: Calls, new: Calls, *, statistics: bool) -> None:
    for key, call in new.items():
        if key in calls:
            calls[key].merge(call, statistics=statistics)
        else:
            calls[key] = call


def _merge_calls_in_copies(calls: Calls, originals: dict[int, nn.Module]) -> Calls:
    """Return the calls with those in methods of a copied module merged into the original's."""
    merged: Calls = {}
    for call in calls.values():
        location = call.location
        location.owner = originals.get(id(location.owner), location.owner)
        if location.key in merged:
            merged[location.key].count += call.count
        _add_calls(merged, {location.key: call}, statistics=True)
    return merged


def _reason_to_skip(call: ActivationCall, gates: bool) -> str:
    """Return why a call cannot be replaced, wherever it is; an empty string if it can."""
    if call.conflict:
        return call.conflict
    if not call.dtype.is_floating_point:
        return f"its input is of {call.dtype}"
    if type(call.native) in UNSUITABLE:
        return UNSUITABLE[type(call.native)]
    if not call.depends_on_data:
        return "its input does not depend on the data"
    if call.overwrites_used_input:
        return "it overwrites its input, which is read again under its old name"
    if isinstance(call.native, BOUNDED) and not gates:
        if call.is_gate:
            return "a gate: a factor of a product (gates=True converts it)"
        if call.is_output:
            return "the model's output, bounded (gates=True converts it)"
    return ""


def _set_method_targets(candidates: list[Candidate], model: nn.Module) -> None:
    """Set the target, or the reason to skip, of the candidates that do not have either yet."""
    open_candidates = {
        each.call: each
        for each in candidates
        if each.target is None
        and not each.skipped
        and not (each.call.module is model and each.call.location.owner is None)
    }
    for call, target in method_targets(open_candidates).items():
        if isinstance(target, CannotRewriteError):
            open_candidates[call].skipped = str(target)
        else:
            open_candidates[call].target = target
