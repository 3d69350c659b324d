"""`constrain`: makes curves satisfy a constraint during the whole training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
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
from hinged.nn.living_objects import LivingObjects
from hinged.nn.piecewise_linear import PiecewiseLinear
from hinged.nn.site import Site, check_where, layer_site

CALL = "hinged.constrain"


@dataclass(frozen=True)
class ConstraintReport:
    """The constraint that a call of `constrain` set, and how far the curves of each layer moved.

    Attributes:
        constraint: the constraint. All layers in `moved` satisfy it now.
        moved: for each layer name, the largest absolute change of a parameter of its curves (a
            value at a hinge, or a trained slope of a tail). It is 0 if the curves already satisfied
            the constraint.
    """

    constraint: Constraint
    moved: dict[str, float]

    def __str__(self) -> str:
        changes = [change for change in self.moved.values() if change > 0]
        start = f"{len(changes)} moved, by up to {max(changes):g}" if changes else "none moved"
        return f"{len(self.moved)} layers held to {self.constraint}; {start}"


def constrain(
    model: nn.Module,
    *,
    monotone: Monotone | bool | None = None,
    lipschitz: float | None = None,
    convex: Bend | bool | None = None,
    bounds: tuple[float | None, float | None] | None = None,
    odd: bool = False,
    where: Callable[[Site], bool] | None = None,
) -> ConstraintReport:
    """Make all curves of a model satisfy a constraint, now and during the rest of the training.

    The curves are projected: their parameters (the values at the hinges, and trained slopes of
    tails) move to the closest parameters that satisfy the constraint. This is projected gradient
    descent. The projection takes place in this call, and after every step of any `torch.optim`
    optimizer that trains the curves. If the parameters change in another way, for example by
    loading a state, the projection takes place before the next forward pass. The constraint then
    holds exactly, without a tolerance (see `hinged.curve.satisfies`).

    On a CPU, every such change is found. On a GPU, numbers are not compared, because the program
    would have to wait for them. There, changes by functions of torch are found, and so is
    `p.data = ...`, as in `vector_to_parameters`. A change in place through `.data`, as in
    `p.data.add_(...)`, is not found: write `p.detach().add_(...)`. Compiled code does not look for
    changes. Train it with an optimizer of torch.

    Copies and pickles of the model keep the constraint. A `state_dict` does not contain it. A
    second call replaces the constraint of the selected layers. A call without a constraint removes
    it.

    Args:
        model: a model with `PiecewiseLinear` layers, or one such layer.
        monotone: `"increasing"` or True for curves that never fall, `"decreasing"` for curves that
            never rise. None or False sets no limit.
        lipschitz: the largest absolute slope allowed, also outside the range of the hinges. None
            sets no limit.
        convex: `"convex"` or True for slopes that never fall from left to right, `"concave"` for
            slopes that never rise. None or False sets no limit.
        bounds: the lowest and the highest output allowed, `(low, high)`. A bound that is None sets
            no limit; `bounds=None` sets neither. A linear tail that would cross a bound becomes
            flat, together with the piece next to it.
        odd: whether to require `f(-x) = -f(x)`.
        where: a function that takes a `hinged.model.Site`, the description of a layer, and returns
            whether to constrain that layer. None constrains all layers.

    Returns:
        A `ConstraintReport` object with the constraint, and for each layer how far its curves
        moved.

    Raises:
        ArgumentError: if the constraints contradict each other, if only flat curves satisfy the
            constraint with the hinges and tails of some layer, if `where` selects no layer, or if
            the model has no curves. The model is then unchanged.

    Warns:
        MovedStartWarning: if some curves did not satisfy the constraint and were moved.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), hinged.PiecewiseLinear(3), nn.Linear(3, 1))
    >>> print(hinged.constrain(model, monotone=True, lipschitz=1.0))
    1 layers held to Constraint(monotone='increasing', lipschitz=1.0); none moved
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> model(torch.randn(8, 2)).square().mean().backward()
    >>> optimizer.step()
    >>> slopes = model[1].values.diff() / model[1].hinges.diff()
    >>> bool((slopes >= 0).all() and (slopes <= 1).all())
    True
    """
    check_where(where, CALL)
    errors.check_flags(CALL, odd=odd)
    constraint = Constraint(monotone, lipschitz, convex, bounds, odd)
    layers = {
        name: layer
        for name, layer in curve_layers(model, CALL).items()
        if where is None or where(layer_site(name, layer))
    }
    if not layers:
        got = "a function that returns False for every layer"
        hint = "return True for a layer to constrain, as in where=lambda site: site.name == 'act'"
        raise errors.ArgumentError(errors.message(f"{CALL}(where=...)", got, hint))
    for name, layer in layers.items():
        _check_layer(name, layer, constraint)
    moved = {name: _set_constraint(layer, constraint) for name, layer in layers.items()}
    _warn_if_moved(moved)
    return ConstraintReport(constraint, moved)


def is_constrained(layer: nn.Module) -> bool:
    """Return whether `constrain` has set a constraint on a layer.

    >>> layer = PiecewiseLinear(3)
    >>> report = constrain(layer, monotone=True)
    >>> is_constrained(layer)
    True
    """
    return any(isinstance(hook, ConstraintHook) for hook in layer._forward_pre_hooks.values())


def copy_constraint(source: PiecewiseLinear, target: PiecewiseLinear) -> None:
    """Set the constraint of a layer, if it has one, on another layer too.

    The curves of the other layer move as far as they must, without a warning.
    """
    for hook in source._forward_pre_hooks.values():
        if isinstance(hook, ConstraintHook):
            _set_constraint(target, hook.constraint)


def apply_constraint(layer: nn.Module) -> None:
    """Move the values of a layer so that they satisfy its constraint; do nothing without a
    constraint."""
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, ConstraintHook):
            hook.project()


class ConstraintHook:
    """Forward pre-hook that projects the curves of one layer to a constraint.

    To project means to move the parameters of the curves to the closest parameters that satisfy the
    constraint. The hook belongs to the layer, so a copy of the layer has a copy of the hook.

    Attributes:
        layer: the layer.
        constraint: the constraint.
    """

    def __init__(self, layer: PiecewiseLinear, constraint: Constraint) -> None:
        self.layer = layer
        self.constraint = constraint
        self._projected: list[_Snapshot] = []
        _register(self)

    def __call__(self, _layer: nn.Module, _args: tuple[Any, ...]) -> None:
        """Project the curves onto their constraint if they changed after the last projection."""
        if torch.compiler.is_compiling() or not self._has_own_values():
            return
        tensors = _trained_tensors(self.layer)
        snapshots = self._projected
        if len(snapshots) != len(tensors) or any(map(_Snapshot.differs, snapshots, tensors)):
            self.project()

    def __getstate__(self) -> dict[str, Any]:
        return {"layer": self.layer, "constraint": self.constraint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.layer, self.constraint = state["layer"], state["constraint"]
        self._projected = []
        _register(self)

    def project(self) -> float:
        """Move the parameters of the curves to the closest parameters that satisfy the constraint.

        Returns:
            The largest absolute change of a parameter.
        """
        before = self.layer.curve()
        after = project(before, self.constraint)
        moved = 0.0
        if after is not before:
            pairs = zip(_trained_tensors(before), _trained_tensors(after), strict=True)
            moved = max(_overwrite(old, new) for old, new in pairs)
        self._projected = [_Snapshot(tensor) for tensor in _trained_tensors(self.layer)]
        return moved

    def trains_one_of(self, parameters: set[int]) -> bool:
        """Return whether the layer's curves have a parameter whose `id` is in `parameters`."""
        return any(id(tensor) in parameters for tensor in _trained_tensors(self.layer))

    def _has_own_values(self) -> bool:
        """Return False if a call such as `functional_call` has replaced the parameters by other
        tensors."""
        tensors = _trained_tensors(self.layer)
        return all(isinstance(tensor, nn.Parameter) and not tensor.is_meta for tensor in tensors)


class _Snapshot:
    """What is remembered of a parameter to see whether it has changed."""

    def __init__(self, tensor: Tensor) -> None:
        self._version, self._address = tensor._version, tensor.data_ptr()
        self._numbers = tensor.detach().clone() if tensor.is_cpu else None

    def differs(self, tensor: Tensor) -> bool:
        """Return whether a parameter has changed, as far as this can be known without waiting."""
        if self._version != tensor._version or self._address != tensor.data_ptr():
            return True
        return self._numbers is not None and not torch.equal(self._numbers, tensor)


_constraint_hooks: LivingObjects[ConstraintHook] = LivingObjects()
_optimizer_hooks: list[Any] = []


def _register(hook: ConstraintHook) -> None:
    """Project the curves of the hook's layer after every optimizer step that trains them.

    The hook in torch is global, so optimizers that are created later are included.
    """
    if not _optimizer_hooks:
        _optimizer_hooks.append(register_optimizer_step_post_hook(_after_optimizer_step))
    _constraint_hooks.add(id(hook), hook)


def _after_optimizer_step(
    optimizer: Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> None:
    parameters = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    for hook in _constraint_hooks:
        if hook.trains_one_of(parameters):
            hook.project()


def _set_constraint(layer: PiecewiseLinear, constraint: Constraint) -> float:
    for key, hook in list(layer._forward_pre_hooks.items()):
        if isinstance(hook, ConstraintHook):
            del layer._forward_pre_hooks[key]
            _constraint_hooks.discard(id(hook))
    if constraint.empty:
        return 0.0
    new = ConstraintHook(layer, constraint)
    layer.register_forward_pre_hook(new)
    return new.project()


def _check_layer(name: str, layer: PiecewiseLinear, constraint: Constraint) -> None:
    values = layer._parameters.get("values")
    if values is None or values.is_meta or layer.hinges.is_meta:
        got = f"a layer {name!r} with values that are parametrised or on the meta device"
        hint = "remove the parametrisation, or load the model on a real device, before this call"
        raise errors.ArgumentError(errors.message(f"{CALL}(model)", got, hint))
    try:
        check_possible(constraint, layer.curve())
    except errors.ArgumentError as impossible:
        raise errors.ArgumentError(f"At layer {name!r}: {impossible}") from None


def _trained_tensors(owner: Curve | PiecewiseLinear) -> list[Tensor]:
    slopes = owner.tail_slopes
    return [owner.values] if slopes is None else [owner.values, slopes]


def _overwrite(old: Tensor, new: Tensor) -> float:
    """Copy the numbers of `new` into `old`, and return the largest absolute change of a number."""
    with torch.no_grad():
        change = (new - old).abs().nan_to_num().max().item()
        old.copy_(new)
    return change


def _warn_if_moved(moved: dict[str, float]) -> None:
    changes = {name: change for name, change in moved.items() if change > 0}
    if changes:
        worst = max(changes, key=lambda name: changes[name])
        got = f"{len(changes)} layers with curves that do not satisfy the constraint"
        hint = (
            f"their values moved by up to {changes[worst]:g} (in layer {worst!r}), so the model "
            "computes another function now; to avoid this, start with curves that satisfy it"
        )
        warnings.warn(
            errors.message(f"{CALL}(model)", got, hint), errors.MovedStartWarning, stacklevel=3
        )
