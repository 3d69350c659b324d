"""Puts curves into a model's module tree, and takes them out again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged.model.conversion.candidates import Found, Splice, Swap
from hinged.model.conversion.splice_calls import CURVES, CallCurves, Rewritten
from hinged.model.tree import share_hooks
from hinged.nn import PiecewiseLinear
from hinged.nn.parameter_groups import add_curves, replace_parameters

KEPT = "_hinged_kept"
Layers = list[tuple[Found, PiecewiseLinear]]


@dataclass
class Kept:
    """What a module was like before: kept in its attributes, so that copies have it too.

    Attributes:
        modules: activations that were its children, by name.
        attributes: other attributes that had to change, by name.
        methods: names of its methods that are rewritten.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)


class Counted(nn.ModuleList):
    """The curves of a place that one execution of a method passes several times."""

    def __init__(self, curves: Iterable[nn.Module], original: Any) -> None:
        super().__init__(curves)
        self.original = (original,)  # In a tuple, lest a module become a child.

    def forward(self, counts: list[None], callee: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply the next curve, or what is called there where that is something else or there are
        no curves left."""
        original = self.original[0]
        if callee is None:
            callee = original
        if callee is not original or len(counts) >= len(self):
            return callee(*args, **kwargs)
        counts.append(None)
        x = args[0] if args else kwargs["input"]
        return self[len(counts) - 1](x)


def install(model: nn.Module, layers: Layers) -> nn.Module:
    """Put every layer where its call's target says; return what stands for the model then."""
    splices: dict[tuple[int, str], Layers] = {}
    for found, layer in layers:
        target = found.target
        if isinstance(target, Swap):
            _swap(target, layer)
        elif isinstance(target, Splice):
            splices.setdefault((id(target.owner), target.edit.curve), []).append((found, layer))
        else:  # The model itself is the activation.
            vars(layer)[KEPT] = Kept({"": model})
            return layer
    for together in splices.values():
        _splice(together)
    return model


def _swap(target: Swap, layer: PiecewiseLinear) -> None:
    old = target.holder.get_submodule(target.name)
    share_hooks(old, layer)
    _kept(target.holder).modules.setdefault(target.name, old)
    setattr(target.holder, target.name, layer)


def _splice(together: Layers) -> None:
    """Put the curves of one place of a method into the module, and have the method use them."""
    found, layer = together[0]
    target = found.target
    assert isinstance(target, Splice)
    owner, edit = target.owner, target.edit
    if CURVES not in owner._modules:
        owner.add_module(CURVES, CallCurves())
    curves: nn.Module = layer
    if edit.counted:
        curves = Counted(_by_occurrence(together), found.call.module or found.call.function)
    owner.get_submodule(CURVES).add_module(edit.curve, curves)
    kept = _kept(owner)
    present = vars(owner).get(target.method)
    edits = present.edits if isinstance(present, Rewritten) else ()
    vars(owner)[target.method] = Rewritten(owner, target.method, (*edits, edit))
    if target.method not in kept.methods:
        kept.methods.append(target.method)


def _by_occurrence(together: Layers) -> list[nn.Module]:
    layers = {found.target.occurrence: layer for found, layer in together}  # type: ignore[union-attr]
    native = together[0][0].call.native
    return [layers.get(number, native) for number in range(max(layers) + 1)]


def _kept(module: nn.Module) -> Kept:
    """Return what is kept of a module. A transformer's layer has a fast path that knows nothing of
    its activation but a number, which is set to none of those that it can compute."""
    if KEPT not in vars(module):
        vars(module)[KEPT] = Kept()
        if isinstance(module, nn.TransformerEncoderLayer):
            kept: Kept = vars(module)[KEPT]
            kept.attributes["activation_relu_or_gelu"] = module.activation_relu_or_gelu
            module.activation_relu_or_gelu = 0
    found: Kept = vars(module)[KEPT]
    return found


def restore(module: nn.Module) -> None:
    """Take out of one module what `install` put into it."""
    kept: Kept = vars(module).pop(KEPT)
    for name, original in kept.modules.items():
        layer = module.get_submodule(name)
        place = next((p for p in layer.parameters()), None)
        if place is not None:
            original.to(place.device, place.dtype)
        setattr(module, name, original.train(layer.training))
    for name in kept.methods:
        del vars(module)[name]
    for name, value in kept.attributes.items():
        setattr(module, name, value)
    if kept.methods:
        delattr(module, CURVES)


@contextlib.contextmanager
def all_or_nothing(model: nn.Module) -> Iterator[None]:
    """Have the attributes and children of all modules be what they were if the block raises."""
    before = [
        (module, vars(module) | _kept_of(module), dict(module._modules))
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


def _kept_of(module: nn.Module) -> dict[str, Kept]:
    kept: Kept | None = vars(module).get(KEPT)
    if kept is None:
        return {}
    return {KEPT: Kept(dict(kept.modules), dict(kept.attributes), list(kept.methods))}


def update_optimizers(
    optimizers: Optimizer | Sequence[Optimizer], layers: Layers, still_used: set[int]
) -> None:
    """Add the parameters of the curves to the first optimiser, and remove those of the activations
    that the curves replace from all optimisers.

    Args:
        optimizers: one or several.
        layers: the curves, and the calls that they replace.
        still_used: ids of modules that are still used elsewhere.
    """
    given = [optimizers] if isinstance(optimizers, Optimizer) else list(optimizers)
    if not given:
        return
    replaced = [found.call.module for found, _ in layers if found.call.module is not None]
    removed = [m for m in replaced if id(m) not in still_used]
    replace_parameters(given, dict.fromkeys(p for m in removed for p in m.parameters()))
    add_curves(given[0], [parameter for _, layer in layers for parameter in layer.parameters()])
