"""Runs a model to find all activations that could be replaced by curves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import BOUNDED, UNSUITABLE
from hinged.model.conversion.method_source import CannotRewriteError
from hinged.model.conversion.shared_modules import separate_copies
from hinged.model.conversion.targets import (
    CallInMethod,
    ModuleSlot,
    method_targets,
    module_slot_targets,
)
from hinged.model.conversion.trace_activations import trace_activations
from hinged.model.module_tree import all_parents
from hinged.model.observation.batches import Batches
from hinged.model.observation.model_call import ModelCall
from hinged.model.observation.random_state import RandomState
from hinged.model.observation.run_model import (
    failures_explained,
    initialize_lazy_modules,
    state_restored,
    with_gradients_if_needed,
)

Calls = dict[Any, ActivationCall]
"""Calls by their location and occurrence, in the order of their first execution."""
ActivationTypes = tuple[type[nn.Module], ...]


@dataclass(eq=False)
class Candidate:
    """An activation of a model that could be replaced by curves.

    Attributes:
        call: the call that applies the activation.
        in_first_batch: whether the model executes the call for the first batch, in the mode
            (training or evaluation) in which the user passed the model.
        target: where the curves would be put: the child of a module that they replace, or the call
            in a method. None if the activation cannot be replaced, or if the model itself is the
            activation.
        skipped: why the activation cannot be replaced; empty if it can.
    """

    call: ActivationCall
    in_first_batch: bool
    target: ModuleSlot | CallInMethod | None
    skipped: str


@dataclass(eq=False)
class SearchResult:
    """The result of `find_candidates`: all activations of a model.

    Attributes:
        candidates: every activation that the model applies to the data, in the order of execution.
        notes: sentences for the user, if the model raised an error in its other mode (training or
            evaluation). Activations that only this mode applies are then missing.
        first: the first batch and its output.
    """

    candidates: list[Candidate]
    notes: list[str]
    first: FirstBatch


@dataclass(eq=False)
class FirstBatch:
    """The first batch, and what the model computed for it before the conversion.

    Attributes:
        model_call: the call of the model with the batch.
        random_state: the states of random number generators before the call.
        output: the output of the model.
    """

    model_call: ModelCall
    random_state: RandomState
    output: Any


def find_candidates(
    model: nn.Module,
    batches: Batches,
    *,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
) -> SearchResult:
    """Run a model, and return its activations and the places where curves could replace them.

    The model runs over the data once, in its current mode (training or evaluation). It then runs on
    the first batch once more in the other mode, because some models apply other activations in
    training than in evaluation.

    Args:
        model: the model.
        batches: the batches, as the user gave them.
        gates: whether gates and bounded outputs can be replaced. `hinged.convert` explains both.
        activations: additional module classes that compute an elementwise activation.

    Raises:
        ArgumentError: if there are no batches, or if a batch has another form.
    """
    types = tuple(activations)
    with separate_copies(model, types) as originals:
        calls, reached, first = _trace_batches(model, batches, types)
        notes = _trace_other_mode(model, first.model_call, types, calls)
        calls = _merge_calls_in_copies(calls, originals)
        slots = module_slot_targets(calls.values(), all_parents(model))
        for each in calls.values():
            each.module = originals.get(id(each.module), each.module)
    candidates = [
        Candidate(each, each in reached, slots.get(each), _reason_to_skip(each, gates))
        for each in calls.values()
    ]
    _set_method_targets(candidates, model)
    return SearchResult(candidates, notes, first)


def _trace_batches(
    model: nn.Module, batches: Batches, types: ActivationTypes
) -> tuple[Calls, set[ActivationCall], FirstBatch]:
    """Run the model over all batches, and record its calls of activations.

    Returns:
        The calls of activations in all batches and in the first batch, and the first batch.
    """
    calls: Calls = {}
    reached: set[ActivationCall] = set()
    first: FirstBatch | None = None
    with state_restored(model), contextlib.ExitStack() as stack:
        for model_call in batches.calls(model):
            if first is None and initialize_lazy_modules(model, model_call):
                stack.enter_context(state_restored(model))  # There are buffers now.
            random_state = RandomState(model)
            with failures_explained(model, model_call, batches):
                new_calls, output = with_gradients_if_needed(
                    functools.partial(trace_activations, model, model_call, types)
                )
            _add_calls(calls, new_calls, statistics=True)
            if first is None:
                first = FirstBatch(model_call, random_state, output)
                reached = set(calls.values())
    assert first is not None  # Without a batch, `Batches.calls` raises an error.
    return calls, reached, first


def _trace_other_mode(
    model: nn.Module, model_call: ModelCall, types: ActivationTypes, calls: Calls
) -> list[str]:
    """Run the model in its other mode (training or evaluation), and add its calls to `calls`.

    For a call that `calls` already contains, the input statistics stay unchanged.

    Returns:
        A list of sentences for the user. It holds one sentence if the model raises an error in this
        mode. Otherwise it is empty.
    """
    with state_restored(model):
        model.train(not model.training)
        try:
            new_calls, _ = with_gradients_if_needed(
                functools.partial(trace_activations, model, model_call, types)
            )
        except Exception as error:  # The model may need other inputs in this mode.
            mode = "training" if model.training else "evaluation"
            got = f"{type(error).__name__}: {error}".splitlines()[0]
            return [f"The model could not be examined in {mode} mode, because it raised {got}"]
    _add_calls(calls, new_calls, statistics=False)
    return []


def _add_calls(calls: Calls, new: Calls, *, statistics: bool) -> None:
    for key, call in new.items():
        if key in calls:
            calls[key].merge(call, statistics=statistics)
        else:
            calls[key] = call


def _merge_calls_in_copies(calls: Calls, originals: dict[int, nn.Module]) -> Calls:
    """Merge each call in a method of a copied module into the same call of the original module.

    `separate_copies` makes the copies while the model is examined.

    Args:
        calls: all calls of the model. Calls that belong to copies are merged.
        originals: the original module of every copy, by the `id` of the copy.
    """
    merged: Calls = {}
    for call in calls.values():
        location = call.location
        location.owner = originals.get(id(location.owner), location.owner)
        if location.key in merged:
            merged[location.key].count += call.count
        _add_calls(merged, {location.key: call}, statistics=True)
    return merged


def _reason_to_skip(call: ActivationCall, gates: bool) -> str:
    """Return why curves cannot replace the activation of a call; empty if they can."""
    if call.conflict:
        return call.conflict
    if call.location.in_other_module:
        return (
            f"{call.location.description} calls a module that the model does not contain: make it "
            "once, as an attribute of the model"
        )
    if not call.dtype.is_floating_point:
        return f"its input has dtype {call.dtype}, which is not a floating-point dtype"
    if type(call.native) in UNSUITABLE:
        return UNSUITABLE[type(call.native)]
    if not call.depends_on_data:
        return "its input does not depend on the data"
    if call.overwrites_used_input:
        return "it writes into its input, and the model reads the input again later"
    if isinstance(call.native, BOUNDED) and not gates:
        if call.is_gate:
            return "a gate: its output is multiplied by another tensor (gates=True converts it)"
        if call.is_output:
            return "the model's output, bounded (gates=True converts it)"
    return ""


def _set_method_targets(candidates: list[Candidate], model: nn.Module) -> None:
    """Set `target` or `skipped` for each candidate that has neither of them yet.

    The target is a call in a method. Where this is impossible, `skipped` says why.
    """
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
