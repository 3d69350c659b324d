"""Lets any optimizer of torch train curves in their metric.

A group of `hinged.param_groups` with the setting `smoothing` has curves that are trained in the
metric of `hinged.curve.metric`. Two hooks, before and after each step of an optimizer, find these
groups. The hook before the step moves the curves and hides their gradients, so that the optimizer
skips them. The hook after the step puts the gradients back. The running means of each curve are in
the state of the optimizer, so its checkpoints contain them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from hinged import errors
from hinged.nn.curve_state import CurveState
from hinged.nn.distributed_tensors import mean_over_processes
from hinged.nn.input_observer import observe_inputs, observers_by_values
from hinged.nn.piecewise_linear import PiecewiseLinear

_CALL = "hinged.param_groups(smoothing=...)"
_hooks: list[Any] = []
_hidden: dict[int, list[tuple[nn.Parameter, Tensor | None]]] = {}
"""The gradients that are hidden during a step, by the `id` of the optimizer."""
_known_states: weakref.WeakKeyDictionary[Optimizer, dict[int, CurveState]]
_known_states = weakref.WeakKeyDictionary()
"""The states of curves from earlier steps, by the `id` of the parameter."""


def train_in_metric(model: nn.Module) -> None:
    """Prepare the curves of a model for optimizer groups with the setting `smoothing`."""
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_before_step))
        _hooks.append(register_optimizer_step_post_hook(_after_step))
    for layer in model.modules():
        if isinstance(layer, PiecewiseLinear):
            observe_inputs(layer)


def _before_step(
    optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Move the curves before a step, or at the end of the closure that computes the gradients."""
    if not any(map(_in_metric, optimizer.param_groups)):
        return None
    if isinstance(optimizer, LBFGS):
        got = "an LBFGS optimizer, which computes gradients several times in a step"
        hint = "make its group with smoothing=None, so that LBFGS trains the curves itself"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    itself, *rest = args  # The optimizer is the first argument of its method `step`.
    closure = rest[0] if rest else kwargs.get("closure")
    if closure is None:
        _move_curves(optimizer)
        return None

    def compute_gradients_and_move_curves() -> Any:
        with torch.enable_grad():
            loss = closure()
        _move_curves(optimizer)
        return loss

    others = {name: value for name, value in kwargs.items() if name != "closure"}
    return (itself, compute_gradients_and_move_curves, *rest[1:]), others


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    for parameter, grad in _hidden.pop(id(optimizer), ()):
        parameter.grad = grad


def _in_metric(group: dict[str, Any]) -> bool:
    return group.get("smoothing") is not None


@torch.no_grad()
def _move_curves(optimizer: Optimizer) -> None:
    states = list(_states(optimizer))
    due = [state for state in states if state.measurement_due]
    if due:
        means = mean_over_processes([state.measure() for state in due])
        for state, moments in zip(due, means, strict=True):
            state.add_measurement(moments)
    overflow, grad_scale = _overflow_and_scale(optimizer)
    hidden = _hidden.setdefault(id(optimizer), [])
    for state in states:
        if not overflow:
            state.step(grad_scale)
        hidden.append((state.parameter, state.parameter.grad))
        state.parameter.grad = None


def _states(optimizer: Optimizer) -> Iterator[CurveState]:
    """Yield the state of all curves that have gradients and are trained in the metric."""
    known = _known_states.setdefault(optimizer, {})
    for group in filter(_in_metric, optimizer.param_groups):
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = known.get(id(parameter))
            if state is None or not state.belongs_to(group, optimizer.state.get(parameter)):
                state = _new_state(optimizer, group, parameter)
                known[id(parameter)] = state
            yield state


def _new_state(optimizer: Optimizer, group: dict[str, Any], parameter: nn.Parameter) -> CurveState:
    observer = observers_by_values().get(id(parameter))
    if observer is None:
        got = "an optimizer group with a parameter that is not `values` of a curve layer"
        hint = "make the groups from the model that is trained, with hinged.param_groups"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    return CurveState(observer, parameter, group, optimizer.state[parameter])


def _overflow_and_scale(optimizer: Optimizer) -> tuple[bool, float]:
    """Return whether gradients overflowed, and the factor by which they are scaled.

    `torch.amp.GradScaler` leaves both to fused optimizers, and sets two attributes for the step.
    """
    overflow: Tensor | None = getattr(optimizer, "found_inf", None)
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    return overflow is not None and bool(overflow.item()), 1.0 if scale is None else scale.item()
