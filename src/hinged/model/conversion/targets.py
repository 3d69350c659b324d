"""Decides where to put the curves that replace each call of an activation.

If the call is the only call of an activation module, the curves replace this module in its parent.
For any other call, the method that contains the call is rewritten so that it calls the curves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.overrides import resolve_name

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.activation_functions import (
    is_written_by_user,
    name_of,
)
from hinged.model.conversion.call_conditions import call_conditions
from hinged.model.conversion.call_syntax import (
    CallPattern,
    CallSyntax,
    call_syntax,
)
from hinged.model.conversion.method_source import CannotRewriteError
from hinged.model.conversion.methods import Method
from hinged.model.conversion.rewrite_method import (
    CURVES_CHILD,
    CallReplacement,
    MethodCurves,
    rewritten_attributes,
)
from hinged.model.module_tree import Parents


@dataclass(eq=False)
class ModuleSlot:
    """A child of a module, named by its parent and its name. The curves replace this child.

    Attributes:
        parent: the parent module.
        name: the name of the child in the parent.
    """

    parent: nn.Module
    name: str


@dataclass(eq=False)
class CallInMethod:
    """A call in a method of a module. The method is rewritten, and then calls the curves instead.

    Attributes:
        owner: the module that has the method.
        method: the method.
        replacement: how the call is replaced.
        occurrence: index of the call if the method makes it several times; 0 for the first.
    """

    owner: nn.Module
    method: Method
    replacement: CallReplacement
    occurrence: int


def module_slot_targets(
    calls: Collection[ActivationCall], parents: dict[int, Parents]
) -> dict[ActivationCall, ModuleSlot]:
    """Return a `ModuleSlot` for every activation module with one parent that is called only once.

    Some calls are recorded in the method of the module itself, such as `self.act.forward(x)`. A
    module with such a call stays, because its method is rewritten.

    Args:
        calls: all calls of activations in the model.
        parents: the parents of every module, by the `id` of the module.

    Returns:
        A dictionary from the calls of these modules to the slots.
    """
    by_module: dict[int, list[ActivationCall]] = defaultdict(list)
    rewritten = {id(call.location.owner) for call in calls}
    for call in calls:
        if call.module is not None:
            by_module[id(call.module)].append(call)
    return {
        same_module[0]: ModuleSlot(*parents[module][0])
        for module, same_module in by_module.items()
        if module not in rewritten and len(same_module) == len(parents.get(module, [])) == 1
    }


def method_targets(
    calls: Iterable[ActivationCall],
) -> dict[ActivationCall, CallInMethod | CannotRewriteError]:
    """Return where curves can be called instead, for each call in a method.

    Returns:
        A dictionary from every call to its `CallInMethod`. If the method of a call cannot be
        rewritten, the value is an error that says why.
    """
    by_location: dict[Any, list[ActivationCall]] = defaultdict(list)
    for call in calls:
        location = call.location
        by_location[id(location.owner), location.method, location.span].append(call)
    name_counts: Counter[tuple[int, str]] = Counter()
    targets: dict[ActivationCall, CallInMethod | CannotRewriteError] = {}
    for same_location in by_location.values():
        try:
            targets |= _targets_at_location(same_location, name_counts)
        except CannotRewriteError as error:
            targets |= dict.fromkeys(same_location, error)
    return targets


def _targets_at_location(
    calls: list[ActivationCall], name_counts: Counter[tuple[int, str]]
) -> dict[ActivationCall, CallInMethod]:
    """Return the targets of several calls with the same location in the source code.

    The calls are repetitions in one execution of the method, which differ in `occurrence`.

    Raises:
        CannotRewriteError: if the method cannot be rewritten.
    """
    call = calls[0]
    location, owner, method = call.location, call.location.owner, call.location.method
    if len({each.location.occurrence for each in calls}) < len(calls):
        raise CannotRewriteError(
            f"{location.description} calls one module or function at one time and another at other "
            "times, and a curve can replace only one of them"
        )
    if owner is None or method is None:
        raise CannotRewriteError(
            f"it is called in {location.description}, which cannot be rewritten for one module: it "
            "is a function, a property, or a method that a subclass overrides"
        )
    pattern = CallPattern(
        location.span, _possible_names(call, owner), _is_tensor_method(call.function)
    )
    syntax = call_syntax(method, pattern)
    is_repeated = len(calls) > 1 or (syntax.in_loop and not call.is_in_every_pass)
    is_counted = is_repeated or not _is_certain(call, owner, syntax)
    if syntax.in_nested_function and is_counted:  # Checkpoints and threads change counts.
        why = "is a nested function, so its repeated calls cannot be counted reliably"
        raise CannotRewriteError(f"{location.description} {why}")
    curve = _unused_curve_name(owner, _activation_name(call, syntax), name_counts)
    conditions = call_conditions(call, owner, method, syntax, is_counted=is_counted)
    replacement = CallReplacement(pattern, curve, is_counted, conditions)
    rewritten_attributes(owner, method, replacement)  # Raises if impossible.
    return {
        each: CallInMethod(owner, method, replacement, each.location.occurrence) for each in calls
    }


def module_of_torch(call: ActivationCall) -> nn.Module | None:
    """Return the activation module of torch in whose own method the call is; None if there is none.

    An example is the call in `nn.GELU.forward`. `nn.PReLU` is left out, because its weight is no
    setting.
    """
    method = call.location.method
    if method is None or method.base.__module__ != nn.modules.activation.__name__:
        return None
    return None if method.base is nn.PReLU else call.location.owner


def _possible_names(call: ActivationCall, owner: nn.Module) -> tuple[str, ...]:
    """Return all names that the source code can use for the called module or function."""
    if call.module is not None:
        names = [name for name, child in owner._modules.items() if child is call.module]
        private = [name[name.index("__", 1) :] for name in names if "__" in name[1:]]
        return (*names, *private)
    assert call.function is not None
    attributes = (name for name, value in vars(owner).items() if value is call.function)
    return (name_of(call.function), *attributes)


def _is_certain(call: ActivationCall, owner: nn.Module, syntax: CallSyntax) -> bool:
    """Return whether the source code alone shows which activation is called.

    The result is False if, for example, the source code calls a variable that holds a function.
    """
    if call.module is not None:
        return owner._modules.get(syntax.attribute) is call.module
    assert call.function is not None
    if syntax.is_method_of_input:
        return True
    if syntax.attribute:
        return vars(owner).get(syntax.attribute) is call.function
    if syntax.constant is None or is_written_by_user(call.function):
        return syntax.constant is call.function
    return name_of(syntax.constant) == name_of(call.function)


def _activation_name(call: ActivationCall, syntax: CallSyntax) -> str:
    """Return a name for the curve. A name with two underscores first would change in the class."""
    attribute = syntax.name.lstrip("_") if syntax.attribute else ""
    if call.module is not None:
        return attribute or type(call.module).__name__.lower().lstrip("_")
    assert call.function is not None
    name = name_of(call.function).strip("_")
    return name if name.isidentifier() else "function"  # A lambda function has no name.


def _unused_curve_name(
    owner: nn.Module, activation: str, name_counts: Counter[tuple[int, str]]
) -> str:
    """Return an unused name for a curve: the activation's name and a number, such as `relu_1`.

    Raises:
        CannotRewriteError: if the module already has another attribute named `CURVES_CHILD`.
    """
    curves = owner._modules.get(CURVES_CHILD)
    attributes = {*vars(owner), *dir(type(owner)), *owner._parameters, *owner._buffers}
    if CURVES_CHILD in attributes or not isinstance(curves, MethodCurves | None):
        raise CannotRewriteError(
            f"the curves need the attribute {CURVES_CHILD!r} of the module, but the module already "
            "uses this name"
        )
    while True:
        name_counts[id(owner), activation] += 1
        name = f"{activation}_{name_counts[id(owner), activation]}"
        if curves is None or name not in curves:
            return name


def _is_tensor_method(function: Callable[..., Any] | None) -> bool:
    return function is not None and (resolve_name(function) or "").startswith("torch.Tensor.")


def site_name(
    call: ActivationCall, target: ModuleSlot | CallInMethod | None, names: dict[int, str]
) -> str:
    """Return the name of a site (a place where the model applies an activation).

    The name is the one that the curves have in the model after the conversion. If the call cannot
    be replaced, the result is the name of the called module. If a function is called, the result is
    composed of the name of the enclosing module and the name of the function.

    Args:
        call: the call at this site.
        target: where the curves are put. None if the call cannot be replaced.
        names: the name of every module of the model, by the `id` of the module.
    """
    if isinstance(target, ModuleSlot):
        return _join(names[id(target.parent)], target.name)
    if isinstance(target, CallInMethod):
        name = _join(names[id(target.owner)], CURVES_CHILD, target.replacement.curve)
        return f"{name}.{target.occurrence}" if target.replacement.is_counted else name
    if call.module is not None and id(call.module) in names:
        return names[id(call.module)]
    owner = names.get(id(call.location.owner), "")
    function = call.function
    return _join(owner, "activation" if function is None else name_of(function).rstrip("_"))


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)
