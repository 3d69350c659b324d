"""Runs a model to find all activations that could be replaced by curves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.loop_passes import Calls, merge_passes
from hinged.model.conversion.method_source import CannotRewriteError
from hinged.model.conversion.named_activations import Activation, NamedActivations
from hinged.model.conversion.protection import NO_GRADIENT, ONLY_EVALUATION, reason_to_skip
from hinged.model.conversion.shared_modules import separate_copies
from hinged.model.conversion.targets import (
    CallInMethod,
    ModuleSlot,
    method_targets,
    module_slot_targets,
)
from hinged.model.conversion.trace_activations import Trace, trace_activations
from hinged.model.conversion.unreached import unreached_sites
from hinged.model.conversion.untrained_copies import treat_copies_as_trained
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
from hinged.nn import Site


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
        unreached: the activations of the model that were not executed.
    """

    candidates: list[Candidate]
    notes: list[str]
    first: FirstBatch
    unreached: list[Site]


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
    activations: Sequence[Activation] = (),
) -> SearchResult:
    """Run a model, and return its activations and the places where curves could replace them.

    The model runs over the data once, in its current mode (training or evaluation). It then runs on
    the first batch once more in the other mode, because some models apply other activations in
    training than in evaluation.

    Args:
        model: the model.
        batches: the batches, as the user gave them.
        gates: whether gates and bounded outputs can be replaced. `hinged.convert` explains both.
        activations: additional module classes and functions that compute an elementwise activation.

    Raises:
        ArgumentError: if there are no batches, or if a batch has another form.
    """
    named = NamedActivations.of(activations)
    with separate_copies(model, named.types) as originals:
        executed: set[int] = set()
        calls, reached, first, trace = _trace_batches(model, batches, named, executed)
        other, notes = _trace_other_mode(model, first.model_call, named)
        if other is not None:
            _add_calls(calls, other.calls, statistics=False)
            executed |= other.executed
        training = trace if model.training else other
        if training is not None:
            of_first_batch = reached | {calls[key] for key in (other.calls if other else ())}
            _note_training(calls.values(), training, of_first_batch)
            treat_copies_as_trained(calls.values(), all_parents(model))
        calls = merge_passes(_merge_calls_in_copies(calls, originals))
        slots = module_slot_targets(calls.values(), all_parents(model))
        for each in calls.values():
            each.module = originals.get(id(each.module), each.module)
        executed |= {id(module) for copied, module in originals.items() if copied in executed}
    candidates = [
        Candidate(each, each in reached, slots.get(each), reason_to_skip(each, gates))
        for each in calls.values()
    ]
    _set_method_targets(candidates, model)
    unreached = unreached_sites(model, calls.values(), executed, named.types)
    return SearchResult(candidates, notes, first, unreached)


def _trace_batches(
    model: nn.Module, batches: Batches, named: NamedActivations, executed: set[int]
) -> tuple[Calls, set[ActivationCall], FirstBatch, Trace]:
    """Run the model over all batches, and record its calls of activations.

    The `id`s of all modules that the model executes are added to `executed`.

    Returns:
        The calls of activations in all batches and in the first batch, the first batch, and its
        trace.
    """
    calls: Calls = {}
    reached: set[ActivationCall] = set()
    first: tuple[FirstBatch, Trace] | None = None
    with state_restored(model), contextlib.ExitStack() as stack:
        for model_call in batches.calls(model):
            if first is None and initialize_lazy_modules(model, model_call):
                stack.enter_context(state_restored(model))  # There are buffers now.
            random_state = RandomState(model)
            with failures_explained(model, model_call, batches):
                trace = with_gradients_if_needed(
                    functools.partial(trace_activations, model, model_call, named)
                )
            _add_calls(calls, trace.calls, statistics=True)
            executed |= trace.executed
            if first is None:
                first = FirstBatch(model_call, random_state, trace.output), trace
                reached = set(calls.values())
    assert first is not None  # Without a batch, `Batches.calls` raises an error.
    return calls, reached, *first


def _trace_other_mode(
    model: nn.Module, model_call: ModelCall, named: NamedActivations
) -> tuple[Trace | None, list[str]]:
    """Run the model in its other mode: training or evaluation.

    Returns:
        The trace, and a list of sentences for the user. If the model raises an error in this mode,
        the trace is None, and the list holds one sentence. Otherwise the list is empty.
    """
    with state_restored(model):
        model.train(not model.training)
        try:
            run = functools.partial(trace_activations, model, model_call, named, measured=False)
            return with_gradients_if_needed(run), []
        except Exception as error:  # The model may need other inputs in this mode.
            mode = "training" if model.training else "evaluation"
            got = f"{type(error).__name__}: {error}".splitlines()[0]
            return None, [
                f"The model could not be examined in {mode} mode, because it raised {got}"
            ]


def _note_training(
    calls: Iterable[ActivationCall], training: Trace, of_first_batch: set[ActivationCall]
) -> None:
    """Record in each call whether training reaches it, as one run in training mode has shown.

    Training can execute a call that this run did not execute: if another batch than the first one
    reaches it, if the run did not execute the module of the call at all, or if the model chooses at
    random what it executes. If no gradients flow at all, as from an output of whole numbers, the
    run does not show what training reaches.

    Args:
        calls: all calls.
        training: the run in training mode, on the first batch.
        of_first_batch: the calls that the first batch reaches in training or evaluation mode.
    """
    if not any(call.gets_gradients for call in training.calls.values()):
        return
    for call in calls:
        owner = call.location.owner
        ran = owner is None or id(owner) in training.executed
        if call.runs_in_training:
            call.untrained = "" if call.gets_gradients else NO_GRADIENT
        elif ran and call in of_first_batch and not training.is_random:
            call.untrained = ONLY_EVALUATION


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
