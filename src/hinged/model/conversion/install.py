"""Puts curves into a model, and takes them out again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged.model.conversion.candidates import Candidate
from hinged.model.conversion.rewrite_method import CURVES_CHILD, MethodCurves, RewrittenMethod
from hinged.model.conversion.targets import CallInMethod, ModuleSlot
from hinged.model.module_tree import share_hooks
from hinged.nn import PiecewiseLinear
from hinged.nn.parameter_groups import add_curves, replace_parameters

ORIGINALS = "_hinged_originals"
"""Name of the attribute that holds the `Originals` of a module."""
Replacements = list[tuple[Candidate, PiecewiseLinear]]
"""Candidates with the curves that replace them."""


@dataclass
class Originals:
    """What `install` replaced in a module. It is an attribute of the module, so copies have it too.

    Attributes:
        modules: the activations that were children of the module, by name.
        attributes: the old values of other attributes, by name.
        methods: names of the methods that are rewritten.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)


class RepeatedCallCurves(nn.ModuleList):
    """The curves of a call that one execution of a method reaches several times.

    Args:
        curves: one module per occurrence.
        original: the module or function that was called.
    """

    def __init__(self, curves: Iterable[nn.Module], original: Any) -> None:
        super().__init__(curves)
        self.original = (original,)  # The tuple prevents that a module becomes a child.

    def forward(self, counter: list[None], function: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply the next curve.

        If the call is about to call another function, or if no curves are left, call that function.

        Args:
            counter: a list with one entry per execution of the call so far.
            function: the module or function that the source calls; None for a tensor method.
            args, kwargs: arguments of the call.
        """
        original = self.original[0]
        function = original if function is None else function
        if function is not original or len(counter) >= len(self):
            return function(*args, **kwargs)
        counter.append(None)
        x = args[0] if args else kwargs["input"]
        return self[len(counter) - 1](x)


def install(model: nn.Module, replacements: Replacements) -> nn.Module:
    """Put every layer of curves at its target.

    Returns:
        The model, or the layer if the model itself is the activation.
    """
    calls_in_methods: dict[tuple[int, str], Replacements] = {}
    for candidate, layer in replacements:
        target = candidate.target
        if isinstance(target, ModuleSlot):
            old = target.parent.get_submodule(target.name)
            share_hooks(old, layer)
            _originals_of(target.parent).modules.setdefault(target.name, old)
            setattr(target.parent, target.name, layer)
        elif isinstance(target, CallInMethod):
            key = id(target.owner), target.replacement.curve
            calls_in_methods.setdefault(key, []).append((candidate, layer))
        else:
            vars(layer)[ORIGINALS] = Originals({"": model})
            return layer
    for same_call in calls_in_methods.values():
        _replace_call_in_method(same_call)
    return model


def _replace_call_in_method(same_call: Replacements) -> None:
    """Add the curves of one call to the module, and rewrite the method that makes the call."""
    candidate, layer = same_call[0]
    target = candidate.target
    assert isinstance(target, CallInMethod)
    owner, replacement = target.owner, target.replacement
    if CURVES_CHILD not in owner._modules:
        owner.add_module(CURVES_CHILD, MethodCurves())
    curves: nn.Module = layer
    if replacement.is_counted:
        call = candidate.call
        curves = RepeatedCallCurves(_by_occurrence(same_call), call.module or call.function)
    owner.get_submodule(CURVES_CHILD).add_module(replacement.curve, curves)
    originals = _originals_of(owner)
    present = vars(owner).get(target.method)
    earlier = present.replacements if isinstance(present, RewrittenMethod) else ()
    vars(owner)[target.method] = RewrittenMethod(owner, target.method, (*earlier, replacement))
    if target.method not in originals.methods:
        originals.methods.append(target.method)


def _by_occurrence(same_call: Replacements) -> list[nn.Module]:
    """Return the curves by occurrence; the activation itself where it has no curves."""
    layers = {
        candidate.target.occurrence: layer
        for candidate, layer in same_call
        if isinstance(candidate.target, CallInMethod)
    }
    native = same_call[0][0].call.native
    return [layers.get(occurrence, native) for occurrence in range(max(layers) + 1)]


def _originals_of(module: nn.Module) -> Originals:
    """Return the `Originals` of a module; create them if there are none.

    The fast path of a transformer layer computes the activation that a number selects, whatever the
    module contains. The number 0 selects none of them and so turns the fast path off.
    """
    originals: Originals = vars(module).setdefault(ORIGINALS, Originals())
    if isinstance(module, nn.TransformerEncoderLayer) and not originals.attributes:
        originals.attributes["activation_relu_or_gelu"] = module.activation_relu_or_gelu
        module.activation_relu_or_gelu = 0
    return originals


def uninstall(module: nn.Module) -> None:
    """Take out of one module what `install` put into it."""
    originals: Originals = vars(module).pop(ORIGINALS)
    for name, original in originals.modules.items():
        layer = module.get_submodule(name)
        parameter = next(layer.parameters(), None)
        if parameter is not None:
            original.to(parameter.device, parameter.dtype)
        setattr(module, name, original.train(layer.training))
    for name in originals.methods:
        del vars(module)[name]
    for name, value in originals.attributes.items():
        setattr(module, name, value)
    if originals.methods:
        delattr(module, CURVES_CHILD)


@contextlib.contextmanager
def undo_on_error(model: nn.Module) -> Iterator[None]:
    """Restore the attributes and children of all modules if the block raises an error."""
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
    copied = Originals(dict(originals.modules), dict(originals.attributes), list(originals.methods))
    return {ORIGINALS: copied}


def update_optimizers(
    optimizers: Optimizer | Sequence[Optimizer], replacements: Replacements, still_used: set[int]
) -> None:
    """Add the parameters of the curves to the first optimiser, and remove those of the activations
    that the curves replace from all optimisers.

    Args:
        optimizers: one or several.
        replacements: the calls and the curves that replace them.
        still_used: ids of modules that are still used elsewhere.
    """
    given = [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)
    if not given:
        return
    modules = [candidate.call.module for candidate, _ in replacements]
    unused = [module for module in modules if module is not None and id(module) not in still_used]
    replace_parameters(given, dict.fromkeys(p for module in unused for p in module.parameters()))
    add_curves(given[0], [p for _, layer in replacements for p in layer.parameters()])
