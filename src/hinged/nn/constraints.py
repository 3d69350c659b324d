"""Curves that are held to a constraint while they are trained."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from hinged import errors
from hinged.curve.constraints.constraint import Bend, Constraint, Monotone, check_possible
from hinged.curve.constraints.project import project
from hinged.curve.curve import Curve
from hinged.nn.find_layers import curve_layers
from hinged.nn.piecewise_linear import PiecewiseLinear
from hinged.nn.site import Site, layer_site

Where = Callable[[Site], bool]


@dataclass(frozen=True)
class Constrained:
    """What `constrain` did.

    Attributes:
        constraint: what the curves are held to from now on.
        moved: by layer, the largest change that the projection made to a value (or to a free
            tail's slope) at the start; 0 where the start kept to the constraint.
    """

    constraint: Constraint
    moved: dict[str, float]

    def __str__(self) -> str:
        steps = [step for step in self.moved.values() if step > 0]
        start = f"{len(steps)} moved, by up to {max(steps):g}" if steps else "none had to move"
        return f"{len(self.moved)} layers held to {self.constraint}; {start}"


def constrain(
    model: nn.Module,
    *,
    monotone: Monotone | bool | None = None,
    lipschitz: float | None = None,
    convex: Bend | bool | None = None,
    bounds: tuple[float | None, float | None] | None = None,
    odd: bool = False,
    where: Where | None = None,
) -> Constrained:
    """Hold the curves of a model, or of a layer, to a constraint, exactly and from now on.

    After every step of any `torch.optim` optimiser the values move to the closest that keep to the
    constraint (projected gradient descent), and likewise before a forward pass where something
    else has written them: a loaded state, an average of weights, an update by hand. Slopes and
    values keep to it without tolerance (see `hinged.curve.satisfied`). Copies and pickles of the
    model keep the constraint; a `state_dict` holds values, not constraints.

    A second call replaces the constraint of the layers it names; a call that asks nothing lifts it.

    Args:
        model: a model with curves, or one layer of them.
        monotone: `"increasing"` (or True) or `"decreasing"`.
        lipschitz: the largest absolute slope, tails included.
        convex: `"convex"` (or True) or `"concave"`.
        bounds: lowest and highest output, None for a side without bound. With linear tails the end
            pieces that would run through a bound become flat.
        odd: `f(-x) = -f(x)`.
        where: takes a `hinged.model.Site` and returns whether to constrain that layer; all by
            default.

    Returns:
        By how much the start had to move, by layer.

    Raises:
        ArgumentError: constraints that contradict each other, or that on some layer's hinges and
            tails only flat curves keep to; a model without curves. Nothing has changed then.

    Warns:
        MovedStartWarning: the curves did not keep to the constraint and were moved.

    >>> model = nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3), nn.Linear(3, 1))
    >>> print(constrain(model, monotone=True, lipschitz=1.0))
    1 layers held to Constraint(monotone='increasing', lipschitz=1.0); none had to move
    >>> optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> model(torch.randn(8, 2)).square().mean().backward()
    >>> optimiser.step()
    >>> slopes = model[1].values.diff() / model[1].hinges.diff()
    >>> bool((slopes >= 0).all() and (slopes <= 1).all())
    True
    """
    constraint = Constraint(monotone, lipschitz, convex, bounds, odd)
    layers = {
        name: layer
        for name, layer in curve_layers(model, "hinged.constrain(model)").items()
        if where is None or where(layer_site(name, layer))
    }
    if not layers:
        got, hint = "a condition that no layer meets", "it takes a Site, as in site.name"
        raise errors.ArgumentError(errors.message("hinged.constrain(where=...)", got, hint))
    for name, layer in layers.items():
        _check_layer(name, layer, constraint)
    moved = {name: _hold(layer, constraint) for name, layer in layers.items()}
    _warn_if_moved(moved)
    return Constrained(constraint, moved)


def is_constrained(layer: nn.Module) -> bool:
    """Whether `constrain` holds a layer to a constraint.

    >>> layer = PiecewiseLinear(3)
    >>> held = constrain(layer, monotone=True)
    >>> is_constrained(layer)
    True
    """
    return any(isinstance(hook, Keeper) for hook in layer._forward_pre_hooks.values())


class Keeper:
    """Holds one layer to a constraint; a forward pre-hook of the layer, and so copied with it."""

    def __init__(self, layer: PiecewiseLinear, constraint: Constraint) -> None:
        self.layer = layer
        self.constraint = constraint
        self.seen = -1
        _watch(self)

    def __call__(self, _layer: nn.Module, _args: tuple[Any, ...]) -> None:
        """Project before a forward pass where the values were written since the last time."""
        if not torch.compiler.is_compiling() and self._own() and self.seen != self._version():
            self.project()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.seen = -1
        _watch(self)

    def project(self) -> float:
        """Move the layer's values to the closest that keep to the constraint, and return the
        largest change."""
        before = self.layer.curve()
        after = project(before, self.constraint)
        moved = 0.0
        if after is not before:
            moved = max(
                _write(old, new) for old, new in zip(_trained(before), _trained(after), strict=True)
            )
        self.seen = self._version()
        return moved

    def trained_by(self, parameters: set[int]) -> bool:
        """Whether an optimiser with parameters of these ids writes the values."""
        return any(id(tensor) in parameters for tensor in _trained(self.layer.curve()))

    def _own(self) -> bool:
        """Whether the values are the layer's, and not others put in their place for one call."""
        held = _trained(self.layer.curve())
        return all(isinstance(tensor, nn.Parameter) and not tensor.is_meta for tensor in held)

    def _version(self) -> int:
        return sum(tensor._version for tensor in _trained(self.layer.curve()))


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()
_hooks: list[Any] = []


def _watch(keeper: Keeper) -> None:
    """Have a keeper called after the steps of all optimisers, which need not exist yet."""
    if not _hooks:
        _hooks.append(register_optimizer_step_post_hook(_after_step))
    _keepers.add(keeper)


def _after_step(optimiser: Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    written = {id(tensor) for group in optimiser.param_groups for tensor in group["params"]}
    for keeper in list(_keepers):
        if keeper.trained_by(written):
            keeper.project()


def _hold(layer: PiecewiseLinear, constraint: Constraint) -> float:
    for key, hook in list(layer._forward_pre_hooks.items()):
        if isinstance(hook, Keeper):
            del layer._forward_pre_hooks[key]
            _keepers.discard(hook)
    if constraint.empty:
        return 0.0
    keeper = Keeper(layer, constraint)
    layer.register_forward_pre_hook(keeper)
    return keeper.project()


def _check_layer(name: str, layer: PiecewiseLinear, constraint: Constraint) -> None:
    call = f"hinged.constrain({name or 'layer'})"
    held = (layer._parameters.get("values"), layer.hinges)
    if held[0] is None or any(tensor.is_meta for tensor in held if tensor is not None):
        got = "values that are parametrised or on the meta device"
        raise errors.ArgumentError(errors.message(call, got, "constrain plain parameters"))
    try:
        check_possible(constraint, layer.curve())
    except errors.ArgumentError as impossible:
        raise errors.ArgumentError(f"At layer {name!r}: {impossible}") from None


def _trained(curve: Curve) -> Iterator[Tensor]:
    yield curve.values
    if curve.tail_slopes is not None:
        yield curve.tail_slopes


def _write(old: Tensor, new: Tensor) -> float:
    with torch.no_grad():
        moved = (new - old).abs().nan_to_num().max().item()
        old.copy_(new)
    return moved


def _warn_if_moved(moved: dict[str, float]) -> None:
    steps = {name: step for name, step in moved.items() if step > 0}
    if steps:
        worst = max(steps, key=lambda name: steps[name])
        got = f"{len(steps)} layers whose curves did not keep to the constraint"
        hint = (
            f"they are now the closest that do, off by up to {steps[worst]:g} at {worst!r}: "
            "start from curves that keep to it to begin with the same function"
        )
        warnings.warn(
            errors.message("hinged.constrain(model)", got, hint),
            errors.MovedStartWarning,
            stacklevel=3,
        )
