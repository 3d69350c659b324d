"""Puts curves into a model, and checks on the first batch that the model computes the same."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged import errors
from hinged.model.conversion.candidates import FirstBatch
from hinged.model.conversion.curve_calls import CurveCalls
from hinged.model.conversion.decisions import Decision, Settings
from hinged.model.conversion.install import Replacements, install, undo_on_error
from hinged.model.conversion.left_behind import ParameterReads, parameters_of_replaced
from hinged.model.conversion.module_reads import note_reads
from hinged.model.conversion.output_check import (
    OutputDifference,
    compare_outputs,
    reason_for_difference,
)
from hinged.model.conversion.rewrite_method import CurvesRunAsLayerError
from hinged.model.conversion.targets import CallInMethod, ModuleSlot, module_of_torch
from hinged.model.observation.run_model import (
    gradients_enabled,
    state_restored,
    with_gradients_if_needed,
)
from hinged.nn import PiecewiseLinear

CALL = "hinged.convert"

LARGE_SHARE = 0.25
"""A warning says if the conversion changes an output by more than this share of the largest one."""

ROUNDING_STEPS = 1000
"""Number of rounding steps by which outputs may differ if all curves are exact. Rounding errors
grow from layer to layer."""

LARGEST_ROUNDING = 0.05
"""Largest share that counts as rounding, for dtypes with few digits."""

_UNREACHED = (
    "the model calls this activation by another reference, such as a plain list, and would not "
    "call a curve in its place"
)


_RUN_AS_LAYER = (
    "a container that runs all its children calls it in a method of its own, and would run the "
    "curves as one of the children"
)


class _UnfitError(Exception):
    """Some curve layers cannot take the place of the activations of the model."""


class _ChangedError(Exception):
    """The outputs of the model have changed more than they should."""


def replacements_in(decisions: list[Decision]) -> Replacements:
    """Return the activations that are replaced, and the curve layers."""
    return [(each.candidate, each.layer) for each in decisions if each.layer is not None]


def install_checked(
    model: nn.Module, decisions: list[Decision], first: FirstBatch, settings: Settings
) -> Installation:
    """Install the curves, and check on the first batch that the model can use them.

    A model can hold a second reference to an activation module, for example in a plain list. The
    search for activations does not see this reference, so the model would call the old module
    instead of its curves. A model can also test the class of a module, or read its parameters. In
    these cases the installation is undone. It is then repeated without these curves.

    If the outputs have changed more than they should, the installation is undone too, and the
    unchanged model runs once more. This shows whether its outputs can be compared at all.

    Args:
        model: the model.
        decisions: the decisions about its activations. They change if a curve cannot be used.
        first: the first batch.
        settings: the settings of the curves.

    Returns:
        The result. If no curves could be installed, it has the unchanged model and no note.

    Raises:
        ConversionError: if all curves start exactly as their activations, but the outputs differ by
            more than rounding.

    Warns:
        ChangedOutputsWarning: if the outputs have changed by more than `LARGE_SHARE`.
    """
    note = ""
    while replacements := replacements_in(decisions):
        try:
            with undo_on_error(model):
                converted = install(model, replacements)
                run = _run_converted(converted, decisions, first)
                if run.unfit:
                    raise _UnfitError
                limits = _limits(decisions, settings, run)
                difference = compare_outputs(first.output, run.output)
                if not note and limits.are_exceeded(difference):
                    raise _ChangedError
                note = note or difference.describe(limits.reason)
                return Installation(converted, note, run.unused)
        except CurvesRunAsLayerError as error:
            curves = list(error.curves.modules())
            in_container = [each for each in decisions if each.layer in curves]
            if not in_container:
                raise
            for each in in_container:
                each.skip(_RUN_AS_LAYER)
        except _UnfitError:
            for each in decisions:
                if each.layer in run.unfit:
                    each.skip(run.unfit[each.layer])
        except _ChangedError:
            note = _judge(model, first, run.output, limits)
    return Installation(model, "", [])


@dataclass(frozen=True)
class Installation:
    """The result of `install_checked`.

    Attributes:
        model: the converted model.
        note: a sentence about how much its outputs have changed.
        unused: the parameters of replaced activations that the model does not use any more.
    """

    model: nn.Module
    note: str
    unused: list[nn.Parameter]


@dataclass(frozen=True)
class _Run:
    """One run of the converted model on the first batch.

    Attributes:
        output: the output of the model; None if the run failed.
        unfit: the curve layers that cannot take the place of the activation, with the reason.
        precision: the coarsest precision of the outputs of curves: the distance from 1 to the next
            larger number.
        unused: the parameters of replaced activations that the model does not use any more.
    """

    output: Any
    unfit: dict[Any, str]
    precision: float
    unused: list[nn.Parameter]


def _modules_of(
    replacements: Replacements, target: type
) -> list[tuple[PiecewiseLinear, nn.Module]]:
    """Return the module that each curve layer replaces, for the layers with this kind of target."""
    modules = [
        (layer, module_of_torch(each.call) if each.call.module is None else each.call.module)
        for each, layer in replacements
        if isinstance(each.target, target)
    ]
    return [(layer, module) for layer, module in modules if module is not None]


def _settings_of_calls(
    replacements: Replacements,
) -> list[tuple[PiecewiseLinear, nn.Module, Collection[str]]]:
    """Return the attributes of modules on which the replaced calls in methods depend."""
    found: list[tuple[PiecewiseLinear, nn.Module, Collection[str]]] = []
    for layer, module in _modules_of(replacements, CallInMethod):
        found.append((layer, module, vars(module)))
    for each, layer in replacements:
        if isinstance(each.target, CallInMethod):
            read = each.target.replacement.conditions.attributes
            found.append((layer, each.target.owner, read))
    return found


def _run_converted(model: nn.Module, decisions: list[Decision], first: FirstBatch) -> _Run:
    """Run the converted model on the first batch.

    If some curves serve only another mode or other batches, the model also runs in its other mode.
    """
    replacements = replacements_in(decisions)
    parameters = parameters_of_replaced(decisions)
    reads = ParameterReads()
    in_slots = dict(_modules_of(replacements, ModuleSlot))
    calls = CurveCalls(model, replacements, in_slots)
    try:
        with calls, note_reads(in_slots, _settings_of_calls(replacements)) as reasons:
            output = _run_first_batch(model, first, reads)
            if not all(each.in_first_batch for each, _ in replacements):
                _run_in_other_mode(model, first)
    except Exception:
        if not reasons:
            raise
        return _Run(None, reasons, 0.0, [])
    unfit = dict.fromkeys(calls.missed(), _UNREACHED) | reasons
    unused = [each for each in parameters if each not in reads.parameters]
    return _Run(output, unfit, max(calls.precisions.values(), default=0.0), unused)


def _run_in_other_mode(model: nn.Module, first: FirstBatch) -> None:
    """Run the model in its other mode (training or evaluation), in which it may raise an error."""
    with state_restored(model), contextlib.suppress(Exception):
        model.train(not model.training)
        _run_first_batch(model, first)


def _run_first_batch(
    model: nn.Module, first: FirstBatch, reads: ParameterReads | None = None
) -> Any:
    """Run the model on the first batch, with the same random numbers as before the conversion."""

    def run() -> Any:
        with gradients_enabled(model), reads or ParameterReads():
            return first.model_call.copy().run(model)

    with state_restored(model):
        first.random_state.restore()
        return with_gradients_if_needed(run)


@dataclass(frozen=True)
class _Limits:
    """How much the outputs of a model may change.

    Attributes:
        share: the largest difference, divided by the largest output.
        is_exact: whether all curves start exactly as their activations, except for rounding.
        is_bitwise: whether they start as their activations bit for bit.
        reason: why the outputs may differ.
    """

    share: float
    is_exact: bool
    is_bitwise: bool
    reason: str

    def are_exceeded(self, difference: OutputDifference) -> bool:
        other = difference.other_form or difference.other_numbers
        return difference.relative > self.share or (self.is_bitwise and other)


def _limits(decisions: list[Decision], settings: Settings, run: _Run) -> _Limits:
    replaced = [each for each in decisions if each.layer is not None]
    reason = reason_for_difference([each.site for each in replaced], settings)
    if settings.init != "same":
        return _Limits(math.inf, False, False, reason)
    if settings.tails == "constant" or any(each.site.error > 0 for each in replaced):
        return _Limits(LARGE_SHARE, False, False, reason)
    rounding = min(ROUNDING_STEPS * run.precision, LARGEST_ROUNDING)
    is_bitwise = all(isinstance(each.candidate.call.native, nn.ReLU) for each in replaced)
    return _Limits(rounding, True, is_bitwise, reason)


def _judge(model: nn.Module, first: FirstBatch, output: Any, limits: _Limits) -> str:
    """Compare the output of the converted model with a second run of the unchanged model.

    Args:
        model: the unchanged model.
        first: the first batch.
        output: the output of the converted model.
        limits: how much the outputs may change.

    Returns:
        A sentence for the user. Errors and warnings are those of `install_checked`.
    """
    again = _run_first_batch(model, first)
    own, difference = compare_outputs(first.output, again), compare_outputs(again, output)
    if _is_like(difference, own):
        return (
            f"The outputs of the first batch {own.change} from one run of the unchanged model to "
            "the next, so they do not show whether the conversion has changed them."
        )
    if limits.are_exceeded(difference):
        got = f"{errors.class_of(model)} whose outputs for the first batch {difference.change}"
        hint = limits.reason.rstrip(".")
        if limits.is_exact:
            hint = (
                "all curves start exactly as their activations, so the model does something else "
                "when it has curves; it was restored: find the place by converting parts of the "
                "model, or leave activations out with where=..."
            )
            raise errors.ConversionError(errors.message(f"{CALL}(model)", got, hint))
        text = errors.message(f"{CALL}(model)", got, hint)
        warnings.warn(text, errors.ChangedOutputsWarning, stacklevel=4)
    return difference.describe(limits.reason)


def _is_like(difference: OutputDifference, own: OutputDifference) -> bool:
    """Return whether a difference is not much larger than that of two runs of one model."""
    if own.other_form or own.other_numbers:
        return True
    return not difference.other_form and difference.relative <= 10 * own.relative > 0
