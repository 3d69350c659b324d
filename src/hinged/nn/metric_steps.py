"""Lets any optimizer of torch train curves in their metric.

A group of `hinged.param_groups` with the setting `smoothing` has curves that are trained in the
metric of `hinged.curve.metric`. Two hooks, before and after each step of an optimizer, find these
groups. The hook before the step moves the curves and hides their gradients, so that the optimizer
skips them. The hook after the step puts the gradients back. The running means of each curve are in
the state of the optimizer, so its checkpoints contain them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hinged import errors
from hinged.nn.curve_state import CurveState
from hinged.nn.distributed_tensors import mean_over_processes
from hinged.nn.input_observer import InputObserver, observe_inputs, observers_by_values
from hinged.nn.piecewise_linear import PiecewiseLinear
from hinged.nn.weight_decay import warn_of_decay

_CALL = "hinged.param_groups(smoothing=...)"
_seen: weakref.WeakSet[Optimizer] = weakref.WeakSet()
_prepared: weakref.WeakSet[Optimizer] = weakref.WeakSet()
_hidden: weakref.WeakKeyDictionary[Optimizer, list[tuple[nn.Parameter, Tensor | None]]] = (
    weakref.WeakKeyDictionary()
)
"""The gradients that are hidden during a step of an optimizer."""
_known_states: weakref.WeakKeyDictionary[Optimizer, dict[int, CurveState]]
_known_states = weakref.WeakKeyDictionary()
"""The states of curves from earlier steps, by the `id` of the parameter."""


def train_in_metric(model: nn.Module) -> None:
    """Prepare the curves of a model for optimizer groups with the setting `smoothing`."""
    for layer in model.modules():
        if isinstance(layer, PiecewiseLinear):
            observe_inputs(layer)


def _prepare(optimizer: Optimizer, *_: Any) -> None:
    """Add the hooks to an optimizer with curves, before its first step.

    Hooks of one optimizer run after those of all optimizers, such as the hook that freezes curves,
    and after those that were added earlier, such as a hook that clips gradients. An optimizer that
    was copied or loaded has no hooks, so it is prepared again.
    """
    if optimizer not in _seen:
        _seen.add(optimizer)
        warn_of_decay(optimizer)
    if optimizer not in _prepared and any(in_metric(group) for group in optimizer.param_groups):
        optimizer.register_step_pre_hook(_before_step)
        optimizer.register_step_post_hook(_after_step)
        optimizer.register_load_state_dict_post_hook(_measure_next_passes)
        _prepared.add(optimizer)


# This hook is not added by `param_groups`: an optimizer that another process sent needs it too.
register_optimizer_step_pre_hook(_prepare)


def _before_step(
    optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Move the curves before a step, or at the end of the closure that computes the gradients."""
    if isinstance(optimizer, LBFGS):
        got = "an LBFGS optimizer, which computes gradients several times in a step"
        hint = "make its group with smoothing=None, so that LBFGS trains the curves itself"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    _hidden.pop(optimizer, None)  # An error in the last step has left them.
    itself, *rest = args  # The optimizer is the first argument of its method `step`.
    closure = rest[0] if rest else kwargs.get("closure")
    if closure is None:
        _move_curves(optimizer)
        return None

    versions = _versions(optimizer)

    def compute_gradients_and_move_curves() -> Any:
        _check_not_moved(optimizer, versions)
        with torch.enable_grad():
            loss = closure()
        _move_curves(optimizer)
        return loss

    if rest:
        return (itself, compute_gradients_and_move_curves, *rest[1:]), kwargs
    return args, {**kwargs, "closure": compute_gradients_and_move_curves}


def _versions(optimizer: Optimizer) -> list[int]:
    return [parameter._version for parameter in _curves(optimizer)]


def _check_not_moved(optimizer: Optimizer, versions: list[int]) -> None:
    """Raise `ArgumentError` if a step has moved curves before it calls its closure.

    It would move them back later, but not those whose gradients are hidden.
    """
    if _versions(optimizer) != versions:
        got = "an optimizer that moves curves in a step before it computes their gradients"
        hint = "call its step without a closure, or make its group with smoothing=None"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    for parameter, grad in _hidden.pop(optimizer, ()):
        parameter.grad = grad


def _measure_next_passes(optimizer: Optimizer) -> None:
    """Measure the inputs of the next forward passes: a loaded state may need them."""
    for observer in _observers_of(_curves(optimizer)):
        observer.needed = True


def in_metric(group: Mapping[str, Any]) -> bool:
    """Return whether an optimizer group has curves that are trained in their metric."""
    return group.get("smoothing") is not None


def _curves(optimizer: Optimizer) -> dict[nn.Parameter, dict[str, Any]]:
    """Return the parameters that are trained in the metric, and their groups."""
    groups = filter(in_metric, optimizer.param_groups)
    return {parameter: group for group in groups for parameter in group["params"]}


@torch.no_grad()
def _move_curves(optimizer: Optimizer) -> None:
    curves, (overflow, grad_scale) = _curves(optimizer), _overflow_and_scale(optimizer)
    hidden = [(parameter, parameter.grad) for parameter in curves if parameter.grad is not None]
    if not overflow:
        _take_steps(_states(optimizer, curves), grad_scale)
        if len(hidden) < len(curves):
            _forget_inputs_of_frozen(curves)
    for parameter, _ in hidden:
        parameter.grad = None
    _hidden.setdefault(optimizer, []).extend(hidden)


def _take_steps(states: list[CurveState], grad_scale: float) -> None:
    due = [state for state in states if state.measurement_due]
    means = mean_over_processes([state.measure() for state in due])
    for state, mean in zip(due, means, strict=True):
        state.add_measurement(mean)
    for state in states:
        state.step(grad_scale)


def _states(
    optimizer: Optimizer, curves: Mapping[nn.Parameter, dict[str, Any]]
) -> list[CurveState]:
    """Return the states of all curves that have gradients."""
    known, states = _known_states.setdefault(optimizer, {}), []
    for parameter, group in curves.items():
        if parameter.grad is None:
            continue
        state = known.get(id(parameter))
        if state is None or not state.belongs_to(group, optimizer.state.get(parameter)):
            observers = observers_by_values().get(id(parameter), [])
            _check_curve(parameter, observers)
            state = CurveState(observers, parameter, group, optimizer.state[parameter])
            known[id(parameter)] = state
        state.adapt_to_hinges()
        states.append(state)
    return states


def _forget_inputs_of_frozen(curves: Iterable[nn.Parameter]) -> None:
    """Forget the inputs of curves without gradients. If they are frozen until a calibration, they
    are measured after it."""
    for observer in _observers_of(parameter for parameter in curves if parameter.grad is None):
        observer.forget()


def _observers_of(parameters: Iterable[nn.Parameter]) -> Iterator[InputObserver]:
    """Yield the observers of all layers that have one of the parameters."""
    observers = observers_by_values()
    for parameter in parameters:
        yield from observers.get(id(parameter), ())


def _check_curve(parameter: nn.Parameter, observers: list[InputObserver]) -> None:
    if not observers:
        got = "a parameter that is not `values` of a layer that hinged.param_groups has prepared"
        hint = (
            "make the groups from the model that is trained, with hinged.param_groups; a loaded "
            "state of a training in the metric needs them too"
        )
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    if parameter.dim() != 2:
        got = "curves in a FullyShardedDataParallel model, which cuts them into flat pieces"
        hint = "use torch.distributed.fsdp.fully_shard, or train the curves with smoothing=None"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))


def _overflow_and_scale(optimizer: Optimizer) -> tuple[bool, float]:
    """Return whether gradients overflowed, and the factor by which they are scaled.

    `torch.amp.GradScaler` leaves both to fused optimizers, and sets two attributes for the step.
    """
    overflow: Tensor | None = getattr(optimizer, "found_inf", None)
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    return overflow is not None and bool(overflow.item()), 1.0 if scale is None else scale.item()
