"""Looks at a model and decides, for every activation, whether and where its curves go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.overrides import resolve_name

from hinged.model.activations import BOUNDED, UNFIT, name_of
from hinged.model.methods import (
    CURVES,
    CallCurves,
    Callee,
    CannotRewriteError,
    Edit,
    callee,
    rewrite,
)
from hinged.model.running import Inputs, batches, undisturbed
from hinged.model.trace import Call, Trace, tracing


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
        target: where its curves go; None where it is left alone, or is the model itself.
        skipped: why it is left alone, or empty.
    """

    call: Call
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
    inputs: Inputs
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
    first: tuple[Inputs, Any] | None = None
    with undisturbed(model):
        for inputs in batches(model, data, call):
            passed, output = _passed(model, inputs, composites)
            trace.add(passed, measured=True)
            first = (inputs, output) if first is None else first
    assert first is not None  # `batches` raises where there are none.
    _other_mode(model, first[0], composites, trace)
    found = [Found(each, skipped=_reason(each, gates)) for each in trace.calls.values()]
    _Targets(model, found).choose()
    return Survey(found, trace.notes, *first)


def _other_mode(
    model: nn.Module, inputs: Inputs, composites: tuple[type[nn.Module], ...], trace: Trace
) -> None:
    with undisturbed(model):
        model.train(not model.training)
        mode = "training" if model.training else "evaluation"
        try:
            passed, _ = _passed(model, inputs, composites)
        except Exception as error:  # A model may want other inputs there, and raise anything.
            came = f"{type(error).__name__}: {error}".splitlines()[0]
            trace.notes.append(f"In {mode} mode it could not be looked at: {came}")
        else:
            trace.add(passed, measured=False)


def _passed(
    model: nn.Module, inputs: Inputs, composites: tuple[type[nn.Module], ...]
) -> tuple[dict[Any, Call], Any]:
    args, kwargs = inputs
    with tracing(model, composites) as tracer:
        tracer.given(inputs)
        output = model(*args, **kwargs)
    return tracer.finish(output), output


def _reason(call: Call, gates: bool) -> str:
    """Return why a call is left alone whatever its place, or nothing."""
    if call.conflict:
        return call.conflict
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


class _Targets:
    """Finds for each call the place of its curves: that of the module called, where nothing else
    calls it, or else one that the calling method is rewritten to use."""

    def __init__(self, model: nn.Module, found: list[Found]) -> None:
        self.model = model
        self.found = found
        self.holders = _holders(model)
        self.by_module: dict[int, list[Found]] = defaultdict(list)
        for each in found:
            if each.call.module is not None:
                self.by_module[id(each.call.module)].append(each)

    def choose(self) -> None:
        """Give every call that is not left alone its target, or the reason why it has none."""
        for together in self.by_module.values():
            self._swap(together)
        self._splice([each for each in self.found if each.target is None and not each.skipped])

    def _swap(self, together: list[Found]) -> None:
        """Give targets to calls of one module that has a name for each of them."""
        module = together[0].call.module
        places = self.holders.get(id(module), [])
        if len(together) == len(places) == 1:
            together[0].target = Swap(*places[0])
            return
        by_owner: dict[int, list[Found]] = defaultdict(list)
        for each in together:
            by_owner[id(each.call.place.owner)].append(each)
        for owner, calls in by_owner.items():
            names = [(holder, name) for holder, name in places if id(holder) == owner]
            # A Sequential calls its children in order, and any other module by its only name.
            if len(names) == len(calls) and (len(calls) == 1 or _is_sequential(names[0][0])):
                for each, place in zip(calls, names, strict=True):
                    each.target = Swap(*place)
        left = [each for each in together if each.target is None]
        lists = [(h, n) for h, n in places if isinstance(h, nn.ModuleList | nn.ModuleDict)]
        if (
            len(left) == len(together) == len(places) == len(lists)
            and len({id(h) for h, _ in lists}) == 1
        ):
            for each, place in zip(together, lists, strict=True):
                each.target = Swap(*place)

    def _splice(self, calls: list[Found]) -> None:
        """Have the methods rewritten that make these calls."""
        at_place: dict[Any, list[Found]] = defaultdict(list)
        for each in calls:
            place = each.call.place
            if each.call.module is self.model and place.owner is None:
                continue  # The model is the activation.
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
    if place.nested and len(together) > 1 and not shown.looped:
        why = "is a function of its own that is called several times"
        raise CannotRewriteError(f"{place.words} {why}")
    name = _free_name(owner, _word(call, shown), numbers)
    edit = Edit(place.position, callees, name, _is_method(call.function), counted)
    rewrite(type(owner), place.method, (edit,))
    return [Splice(owner, place.method, edit, each.call.place.occurrence) for each in together]


def _free_name(owner: nn.Module, word: str, numbers: Counter[tuple[int, str]]) -> str:
    taken = owner._modules.get(CURVES)
    if taken is not None and not isinstance(taken, CallCurves):
        raise CannotRewriteError(
            f"its module has a child named {CURVES!r}, where its curves would be"
        )
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


def _is_sequential(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _holders(model: nn.Module) -> dict[int, list[tuple[nn.Module, str]]]:
    """Return, by the id of each module, all its parents with its names there, in order."""
    holders: dict[int, list[tuple[nn.Module, str]]] = defaultdict(list)
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                holders[id(child)].append((parent, name))
    return holders


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
