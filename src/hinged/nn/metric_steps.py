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
_trainings: weakref.WeakKeyDictionary[Optimizer, CurveTraining] = weakref.WeakKeyDictionary()
"""The training of the curves of each optimizer that has begun a step, also if it has no curves."""


def train_in_metric(model: nn.Module) -> None:
    """Prepare the curves of a model for optimizer groups with the setting `smoothing`."""
    for layer in model.modules():
        if isinstance(layer, PiecewiseLinear):
            observe_inputs(layer)


def _prepare(optimizer: Optimizer, *_: Any) -> None:
    """Prepare an optimizer before its first step, and again if it has got its first curves."""
    training = _trainings.get(optimizer)
    if training is None:
        training = _trainings[optimizer] = CurveTraining()
        warn_of_decay(optimizer)
    if not training.has_hooks and any(in_metric(group) for group in optimizer.param_groups):
        training.add_hooks(optimizer)


# This hook is not added by `param_groups`: an optimizer that another process sent needs it too.
register_optimizer_step_pre_hook(_prepare)


class CurveTraining:
    """The hooks that train the curves of one optimizer in their metric.

    Hooks of one optimizer run after those of all optimizers, such as the hook that freezes curves,
    and after those that were added earlier, such as a hook that clips gradients. An optimizer that
    was copied or loaded has no hooks, so it gets a new object of this class. If a subclass copies
    its hooks too, the curves move once, because the gradients are hidden from the second hook.

    Attributes:
        has_hooks: whether the optimizer has the hooks.
        states: the states of curves from earlier steps, by the `id` of the parameter.
        hidden: the gradients that are hidden during a step.
    """

    def __init__(self) -> None:
        self.has_hooks = False
        self.states: dict[int, CurveState] = {}
        self.hidden: list[tuple[nn.Parameter, Tensor]] = []

    def __reduce__(self) -> tuple[type[CurveTraining], tuple[()]]:
        return CurveTraining, ()  # A copy belongs to another optimizer.

    def add_hooks(self, optimizer: Optimizer) -> None:
        """Add the hooks to the optimizer."""
        optimizer.register_step_pre_hook(self.before_step)
        optimizer.register_step_post_hook(self.after_step)
        optimizer.register_load_state_dict_post_hook(_measure_next_passes)
        self.has_hooks = True

    def before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Move the curves before a step, or at the end of the closure that computes gradients."""
        if isinstance(optimizer, LBFGS):
            got = "an LBFGS optimizer, which computes gradients several times in a step"
            hint = "make its group with smoothing=None, so that LBFGS trains the curves itself"
            raise errors.ArgumentError(errors.message(_CALL, got, hint))
        self.hidden.clear()  # An error in the last step has left them.
        itself, *rest = args  # The optimizer is the first argument of its method `step`.
        closure = rest[0] if rest else kwargs.get("closure")
        if closure is None:
            self.move_curves(optimizer)
            return None

        versions = _versions(optimizer)

        def compute_gradients_and_move_curves() -> Any:
            _check_not_moved(optimizer, versions)
            with torch.enable_grad():
                loss = closure()
            self.move_curves(optimizer)
            return loss

        if rest:
            return (itself, compute_gradients_and_move_curves, *rest[1:]), kwargs
        return args, {**kwargs, "closure": compute_gradients_and_move_curves}

    def after_step(self, *_: Any) -> None:
        """Put the gradients of the curves back."""
        for parameter, grad in self.hidden:
            parameter.grad = grad
        self.hidden.clear()

    @torch.no_grad()
    def move_curves(self, optimizer: Optimizer) -> None:
        """Take one step of the curves that have gradients, and hide the gradients."""
        overflow, grad_scale = _overflow_and_scale(optimizer)
        states, found, without = [], [], []
        for group in optimizer.param_groups:
            if not in_metric(group):
                continue
            for parameter in dict.fromkeys(group["params"]):  # Layers may share a parameter.
                if parameter.grad is None:
                    without.append(parameter)
                    continue
                found.append((parameter, parameter.grad))
                if not overflow:
                    states.append(self._state(parameter, group, optimizer))
        if not overflow:
            _take_steps(states, grad_scale)
            if without:
                _forget_inputs_of_frozen(without)
        for parameter, _ in found:
            parameter.grad = None
        self.hidden.extend(found)

    def _state(
        self, parameter: nn.Parameter, group: dict[str, Any], optimizer: Optimizer
    ) -> CurveState:
        """Return the state of a curve that has a gradient."""
        state = self.states.get(id(parameter))
        if state is None or not state.belongs_to(group, optimizer.state.get(parameter)):
            observers = observers_by_values().get(id(parameter), [])
            _check_curve(parameter, observers)
            state = CurveState(observers, parameter, group, optimizer.state[parameter])
            self.states[id(parameter)] = state
        state.adapt_to_hinges()
        return state


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


def _measure_next_passes(optimizer: Optimizer) -> None:
    """Measure the inputs of the next forward passes: a loaded state may need them."""
    for observer in _observers_of(_curves(optimizer)):
        observer.needed = True


def in_metric(group: Mapping[str, Any]) -> bool:
    """Return whether an optimizer group has curves that are trained in their metric."""
    return group.get("smoothing") is not None


def _curves(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters that are trained in the metric."""
    groups = filter(in_metric, optimizer.param_groups)
    return [parameter for group in groups for parameter in group["params"]]


def _take_steps(states: list[CurveState], grad_scale: float) -> None:
    due = [state for state in states if state.measurement_due]
    if due:
        means = mean_over_processes([state.measure() for state in due])
        for state, mean in zip(due, means, strict=True):
            state.add_measurement(mean)
    for state in states:
        state.step(grad_scale)


def _forget_inputs_of_frozen(curves: Iterable[nn.Parameter]) -> None:
    """Forget the inputs of curves without gradients. If they are frozen until a calibration, they
    are measured after it."""
    for observer in _observers_of(curves):
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
