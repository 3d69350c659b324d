"""Puts curves into a model, and removes them again."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from hinged import errors
from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.candidates import Candidate
from hinged.model.conversion.module_reads import keep_attributes
from hinged.model.conversion.rewrite_method import (
    CURVES_CHILD,
    MethodCurves,
    RewrittenMethod,
    original_of,
    rewritten_attributes,
)
from hinged.model.conversion.targets import CallInMethod, ModuleSlot
from hinged.model.conversion.wrappers import wrap_again
from hinged.model.module_tree import REPLACED, ReplacedModule, share_hooks
from hinged.nn import PiecewiseLinear

ORIGINALS = "_hinged_originals"
"""Name of the attribute of a module that stores its `Originals`."""
Replacements = list[tuple[Candidate, PiecewiseLinear]]
"""Pairs of a candidate and the curve layer that replaces it."""


@dataclass
class Originals:
    """The attributes and methods of a module that `install` has replaced.

    This object is stored as an attribute of the module. A copy of the module therefore has it too.
    The replaced children are stored in the layers that replace them (`REPLACED`).

    Attributes:
        attributes: the old values of other attributes, by name.
        methods: the old values of the attributes that now hold a rewritten method, by name. None if
            the module had the method only from its class.
        frozen: the names of parameters that were trained before the conversion, and are not used
            any more.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Any] = field(default_factory=dict)
    frozen: list[str] = field(default_factory=list)


class RepeatedCallCurves(nn.ModuleDict):
    """The curves for a call that one execution of a method can run several times, as in a loop.

    Args:
        curves: the curve layers by the index of their repetition. A repetition without a curve
            layer calls the original.
        repetitions: the number of repetitions in the source code that `hinged.convert` has seen.
        original: the module or function that was called before the conversion.
        is_for_all: whether the only curve layer serves all repetitions.
    """

    def __init__(
        self,
        curves: Mapping[int, nn.Module],
        repetitions: int,
        original: Any,
        *,
        is_for_all: bool,
    ) -> None:
        super().__init__({str(index): curves[index] for index in sorted(curves)})
        self.repetitions, self.is_for_all = repetitions, is_for_all
        self.original = (original,)  # A tuple, because a plain attribute would register a module.

    def forward(self, counter: list[None], function: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply the curve for the next repetition of the call, and return its output.

        `function` is called without a curve in three cases: it is not the original function, this
        repetition has no curve, or there are more repetitions than `hinged.convert` has seen. The
        third case causes a warning.

        Args:
            counter: a list with one entry for each earlier repetition in the same execution of the
                method. An entry is added for this repetition.
            function: the module or function that the source code calls; None for a tensor method.
            args: the positional arguments of the call.
            kwargs: the keyword arguments of the call.
        """
        original = self.original[0]
        function = original if function is None else function
        if function is not original:
            return function(*args, **kwargs)
        index = 0 if self.is_for_all else len(counter)
        if index >= self.repetitions:
            warnings.warn(self._say_that_curves_run_out(), errors.MorePassesWarning, stacklevel=2)
            return function(*args, **kwargs)
        counter.append(None)
        if str(index) not in self:
            return function(*args, **kwargs)
        x = args[0] if args else kwargs["input" if "input" in kwargs else "x"]
        return self[str(index)](x)

    def _say_that_curves_run_out(self) -> str:
        original = self.original[0]
        shown = original if isinstance(original, nn.Module) else name_of(original)
        return (
            f"A loop in a converted model has more passes than the {self.repetitions} that "
            f"hinged.convert has seen: the others apply {shown} without a curve; convert the model "
            "on data that lead to the most passes."
        )


def install(model: nn.Module, replacements: Replacements) -> nn.Module:
    """Put curve layers into a model, where they replace activations.

    Args:
        model: the model. It is changed in place.
        replacements: pairs of an activation (a `Candidate` that says where it is) and the curve
            layer that replaces it.

    Returns:
        The model. If the model itself is the activation, the curve layer.
    """
    calls_in_methods: dict[tuple[int, str], Replacements] = {}
    for candidate, layer in replacements:
        target = candidate.target
        if isinstance(target, ModuleSlot):
            old = target.parent.get_submodule(target.name)
            share_hooks(old, layer)
            keep_attributes(old, layer)
            _note_replaced(old, layer)
            setattr(target.parent, target.name, layer)
        elif isinstance(target, CallInMethod):
            key = id(target.owner), target.replacement.curve
            calls_in_methods.setdefault(key, []).append((candidate, layer))
        else:
            originals_of(layer)  # The layer is the whole model, and `revert` gets nothing else.
            _note_replaced(model, layer)
            return layer
    for same_call in calls_in_methods.values():
        _replace_call_in_method(same_call)
    _turn_off_fast_paths(model)
    return model


def _note_replaced(old: nn.Module, layer: PiecewiseLinear) -> None:
    """Store in a layer which module it replaces. Of several, one after another, it is the first."""
    vars(layer)[REPLACED] = vars(old).get(REPLACED) or ReplacedModule(old, layer.values.dtype)


def _replace_call_in_method(same_call: Replacements) -> None:
    """Add the curves for one call to a module, and rewrite the method that contains the call.

    `same_call` has one pair of a candidate and a curve layer for each repetition of the call.
    """
    candidate, layer = same_call[0]
    target = candidate.target
    assert isinstance(target, CallInMethod)
    owner, replacement = target.owner, target.replacement
    for each, curve in same_call:
        if each.call.module is not None:
            share_hooks(each.call.module, curve)
    if CURVES_CHILD not in owner._modules:
        # `add_module` would refuse a wrapper whose `__getattr__` finds the name in another module.
        owner._modules[CURVES_CHILD] = MethodCurves()
    curves: nn.Module = layer
    if replacement.is_counted:
        call = candidate.call
        by_index = {
            each.target.occurrence: curve
            for each, curve in same_call
            if isinstance(each.target, CallInMethod)
        }
        curves = RepeatedCallCurves(
            by_index,
            max(call.passes, max(by_index) + 1),
            call.called,
            is_for_all=call.is_in_every_pass,
        )
    method_curves: Any = owner.get_submodule(CURVES_CHILD)
    method_curves.add_module(replacement.curve, curves)
    method_curves.called[replacement.curve] = candidate.call.called
    originals = originals_of(owner)
    for name, rewritten in rewritten_attributes(owner, target.method, replacement).items():
        vars(owner)[name] = rewritten
        originals.methods.setdefault(name, rewritten.wrapper)


def originals_of(module: nn.Module) -> Originals:
    """Return the `Originals` object of a module; it is created if the module has none."""
    originals: Originals = vars(module).setdefault(ORIGINALS, Originals())
    return originals


class _IfNoGradients:
    """A setting that is true while no gradients are computed."""

    def __bool__(self) -> bool:
        return not torch.is_grad_enabled()


def _turn_off_fast_paths(model: nn.Module) -> None:
    """Let the transformer layers of a model call their curves in evaluation too.

    `nn.TransformerEncoderLayer` has a fast path that does not call its activation module. It is
    turned off in layers with curves. `nn.TransformerEncoder` makes nested tensors of inputs with
    padding if the parameters that it knows need no gradients. It does not know the curves, and
    gradients cannot go through its nested tensors, so it makes them only without gradients.
    """
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and is_converted(module):
            _set_attribute(module, "activation_relu_or_gelu", 0)
    for module in model.modules():
        is_nesting = isinstance(module, nn.TransformerEncoder) and bool(module.use_nested_tensor)
        if is_nesting and any(map(is_converted, module.modules())):
            _set_attribute(module, "use_nested_tensor", _IfNoGradients())


def _set_attribute(module: nn.Module, name: str, value: Any) -> None:
    """Set an attribute of a module, and store its old value for `uninstall`."""
    originals_of(module).attributes.setdefault(name, getattr(module, name))
    setattr(module, name, value)


def is_converted(module: nn.Module) -> bool:
    """Whether `install` has replaced children, attributes or methods of a module."""
    return ORIGINALS in vars(module) or any(REPLACED in vars(each) for each in module.children())


def uninstall(module: nn.Module) -> None:
    """Restore the children, attributes and methods of one module that `install` has replaced.

    The layers are found wherever they are now, because the children of a container may have moved.
    """
    for name, child in list(module._modules.items()):
        if child is not None and REPLACED in vars(child):
            setattr(module, name, module_before(child))
    originals: Originals = vars(module).pop(ORIGINALS, Originals())
    _restore_methods(module, originals.methods)
    for name, value in originals.attributes.items():
        setattr(module, name, value)
    for name in originals.frozen:
        module.get_parameter(name).requires_grad_(True)
    if originals.methods:
        delattr(module, CURVES_CHILD)


def module_before(layer: nn.Module) -> nn.Module:
    """Return the module that a layer has replaced, cast and moved as the layer was."""
    replaced: ReplacedModule = vars(layer)[REPLACED]
    original, parameter = replaced.module, next(layer.parameters(), None)
    if parameter is not None:
        # The original may have another dtype than the layer. It stays if the layer was not cast.
        dtype = None if parameter.dtype == replaced.dtype else parameter.dtype
        original.to(parameter.device, dtype)
    return original.train(layer.training)


def _restore_methods(module: nn.Module, methods: dict[str, Any]) -> None:
    """Restore the methods of a module. `methods` contains `Originals.methods`.

    A wrapper that was put around a rewritten method later stays, and wraps the original method.
    """
    for name, value in list(vars(module).items()):
        if not isinstance(value, RewrittenMethod):
            vars(module)[name] = wrap_again(value, original_of, module)
        elif name in methods and methods[name] is None:
            del vars(module)[name]
        else:
            vars(module)[name] = value.original


@contextlib.contextmanager
def undo_on_error(model: nn.Module) -> Iterator[None]:
    """Restore the attributes and children of all modules if the `with` block raises an error."""
    before = [
        (module, vars(module) | _copy_of_originals(module), dict(module._modules))
        for module in model.modules()
    ]
    try:
        yield
    except BaseException:
        for module, attributes, children in before:
            vars(module).clear()
            vars(module).update(attributes)
            module._modules.clear()
            module._modules.update(children)
        raise


def _copy_of_originals(module: nn.Module) -> dict[str, Originals]:
    originals: Originals | None = vars(module).get(ORIGINALS)
    if originals is None:
        return {}
    copied = Originals(dict(originals.attributes), dict(originals.methods), list(originals.frozen))
    return {ORIGINALS: copied}
