"""Looks at a model and decides, for every activation, whether and where its curves go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.overrides import resolve_name

from hinged.model.conversion.activation_calls import BOUNDED, UNFIT, name_of
from hinged.model.conversion.calls import Call
from hinged.model.conversion.shared_modules import apart
from hinged.model.conversion.splice_calls import (
    CURVES,
    CallCurves,
    Callee,
    CannotRewriteError,
    Edit,
    callee,
    rewrite,
)
from hinged.model.conversion.trace import Trace, copied, tracing
from hinged.model.observation.run_model import ModelInputs, model_inputs, state_restored
from hinged.model.tree import Parents, all_parents


@dataclass(eq=False)
class Swap:
    """Curves that take the place of a module: the child `name` of `holder`."""

    holder: nn.Module
    name: str


@dataclass(eq=False)
class Splice:
    """Curves that a rewritten method of `owner` calls: one of those that `edit` names."""

    owner: nn.Module
    method: str
    edit: Edit
    occurrence: int


@dataclass(eq=False)
class Found:
    """A call and what is to become of it.

    Attributes:
        call: the call.
        reached: the first batch comes by, in the mode the model is in.
        target: where its curves go; None where it is left alone, or is the model itself.
        skipped: why it is left alone, or empty.
    """

    call: Call
    reached: bool
    target: Swap | Splice | None = None
    skipped: str = ""


@dataclass(eq=False)
class Survey:
    """What looking at a model has shown.

    Attributes:
        found: every activation that the model applies to the data, in order.
        notes: sentences on what could not be looked at.
        inputs: positional and keyword arguments of the first batch.
        output: what the model returned for it.
    """

    found: list[Found]
    notes: list[str]
    inputs: ModelInputs
    output: Any


def survey(
    model: nn.Module,
    data: Any,
    call: str,
    *,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
) -> Survey:
    """Return every activation that the model applies to the data, and where its curves would go.

    The model runs over the data once, as it is, and once more over the first batch in the other
    mode (training or evaluation), because some models apply other activations there.
    """
    trace, composites = Trace(), tuple(activations)
    with apart(model, composites) as twins:
        first, reached = _over(model, model_inputs(model, data, call), composites, trace)
        _other_mode(model, first[0], composites, trace)
        twins.merge(trace)
        calls = trace.calls.values()
        found = [Found(each, each in reached, skipped=_reason(each, gates)) for each in calls]
        _swap(found, all_parents(model))
    for each in found:
        each.call.module = twins.originals.get(id(each.call.module), each.call.module)
    _splice(found, model)
    return Survey(found, trace.notes, *first)


def _over(
    model: nn.Module,
    data: Iterator[ModelInputs],
    composites: tuple[type[nn.Module], ...],
    trace: Trace,
) -> tuple[tuple[ModelInputs, Any], set[Call]]:
    """Run the model over the data; return the first batch with its output, and the calls that it
    came by."""
    first: tuple[ModelInputs, Any] | None = None
    with state_restored(model):
        for inputs in data:
            passed, output = _passed(model, inputs, composites)
            trace.add(passed, measured=True)
            if first is None:
                first, reached = (inputs, output), set(trace.calls.values())
    assert first is not None  # `batches` raises where there are none.
    return first, reached


def _other_mode(
    model: nn.Module, inputs: ModelInputs, composites: tuple[type[nn.Module], ...], trace: Trace
) -> None:
    with state_restored(model):
        model.train(not model.training)
        mode = "training" if model.training else "evaluation"
        try:
            passed, _ = _passed(model, inputs, composites)
        except Exception as error:  # A model may want other inputs there, and raise anything.
            got = f"{type(error).__name__}: {error}".splitlines()[0]
            trace.notes.append(f"In {mode} mode it could not be looked at: {got}")
        else:
            trace.add(passed, measured=False)


def _passed(
    model: nn.Module, inputs: ModelInputs, composites: tuple[type[nn.Module], ...]
) -> tuple[dict[Any, Call], Any]:
    args, kwargs = copied(inputs)
    with tracing(model, composites) as tracer:
        output = model(*args, **kwargs)
    return tracer.finish(output), output


def _reason(call: Call, gates: bool) -> str:
    """Return why a call is left alone whatever its place, or nothing."""
    if call.conflict:
        return call.conflict
    if not call.dtype.is_floating_point:
        return f"its input is of {call.dtype}"
    if type(call.native) in UNFIT:
        return UNFIT[type(call.native)]
    if not call.of_data:
        return "its input does not depend on the data"
    if call.aliased:
        return "it overwrites its input, which is read again under its old name"
    if isinstance(call.native, BOUNDED) and not gates:
        if call.gate:
            return "a gate: a factor of a product (gates=True converts it)"
        if call.output:
            return "the model's output, bounded (gates=True converts it)"
    return ""


def _swap(found: list[Found], places: dict[int, Parents]) -> None:
    """Give its module's name as target to every call that alone goes by it."""
    by_module: dict[int, list[Found]] = defaultdict(list)
    for each in found:
        if each.call.module is not None:
            by_module[id(each.call.module)].append(each)
    for module, together in by_module.items():
        names = places.get(module, [])
        if len(together) == len(names) == 1:
            together[0].target = Swap(*names[0])


def _splice(found: list[Found], model: nn.Module) -> None:
    """Have the methods rewritten that make the other calls, or say why that cannot be."""
    at_place: dict[Any, list[Found]] = defaultdict(list)
    for each in found:
        place = each.call.place
        itself = each.call.module is model and place.owner is None
        if each.target is None and not each.skipped and not itself:
            at_place[id(place.owner), place.method, place.position].append(each)
    numbers: Counter[tuple[int, str]] = Counter()
    for together in at_place.values():
        try:
            targets = _splices(together, numbers)
        except CannotRewriteError as refused:
            for each in together:
                each.skipped = str(refused)
        else:
            for each, target in zip(together, targets, strict=True):
                each.target = target


def _splices(together: list[Found], numbers: Counter[tuple[int, str]]) -> list[Splice]:
    """Return the targets of calls at one place of the source."""
    place, owner = together[0].call.place, together[0].call.place.owner
    if owner is None:
        raise CannotRewriteError(f"it is called in {place.words}, which is no method of a module")
    call = together[0].call
    callees = _callees(call, owner)
    shown = callee(type(owner), place.method, place.position, callees)
    counted = len(together) > 1 or shown.looped or not _certain(call, owner, shown)
    if shown.nested and counted:  # What checkpoints and threads call again cannot be counted.
        why = "is a function of its own whose calls cannot be told apart"
        raise CannotRewriteError(f"{place.words} {why}")
    name = _free_name(owner, _word(call, shown), numbers)
    edit = Edit(place.position, callees, name, _is_method(call.function), counted)
    rewrite(type(owner), place.method, (edit,))
    return [Splice(owner, place.method, edit, each.call.place.occurrence) for each in together]


def _free_name(owner: nn.Module, word: str, numbers: Counter[tuple[int, str]]) -> str:
    taken = owner._modules.get(CURVES)
    names = {CURVES} & {*vars(owner), *dir(type(owner)), *owner._parameters, *owner._buffers}
    if names or not isinstance(taken, CallCurves | None):
        why = f"its module has something named {CURVES!r}, where its curves would be"
        raise CannotRewriteError(why)
    while True:
        numbers[id(owner), word] += 1
        name = f"{word}_{numbers[id(owner), word]}"
        if taken is None or name not in taken:
            return name


def _callees(call: Call, owner: nn.Module) -> tuple[str, ...]:
    """Return the last names that a call may go by in the source."""
    if call.module is not None:
        return tuple(name for name, child in owner._modules.items() if child is call.module)
    assert call.function is not None
    own = (name for name, value in vars(owner).items() if value is call.function)
    return (name_of(call.function), *own)


def _certain(call: Call, owner: nn.Module, shown: Callee) -> bool:
    """Whether the source alone says that it is this activation which is called there."""
    if call.module is not None:
        return shown.of_self and owner._modules.get(shown.name) is call.module
    assert call.function is not None
    if shown.of_self:
        return vars(owner).get(shown.name) is call.function
    return shown.name == name_of(call.function)


def _word(call: Call, shown: Callee) -> str:
    if call.module is not None and shown.of_self:
        return shown.name
    if call.function is not None:
        return name_of(call.function).rstrip("_")
    return type(call.module).__name__.lower()


def _is_method(function: Callable[..., Any] | None) -> bool:
    return function is not None and (resolve_name(function) or "").startswith("torch.Tensor.")


def site_name(names: dict[int, str], found: Found) -> str:
    """Return where the curves of a call are in the model."""
    target = found.target
    if isinstance(target, Swap):
        return _joined(names[id(target.holder)], target.name)
    if isinstance(target, Splice):
        path = _joined(names[id(target.owner)], CURVES, target.edit.curve)
        return f"{path}.{target.occurrence}" if target.edit.counted else path
    if found.call.module is not None and id(found.call.module) in names:
        return names[id(found.call.module)]
    owner = found.call.place.owner
    path = "" if owner is None else names.get(id(owner), "")
    function = found.call.function
    return _joined(path, "activation" if function is None else name_of(function).rstrip("_"))


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)
