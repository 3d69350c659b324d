"""`calibrate_after`: freezes curves at the start of training, then calibrates and trains them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hinged import errors
from hinged.model.calibration.calibrate import Calibration, Optimizers, calibrate_layers
from hinged.model.calibration.calibrate_layer import CalibrationSettings
from hinged.model.observation.layer_statistics import (
    InputStatistics,
    StatisticsCollector,
    merge_layers_across_processes,
)
from hinged.nn import curve_layers

CALL = "hinged.calibrate_after"


def calibrate_after(
    model: nn.Module,
    steps: int | float,
    *,
    total: int | float | None = None,
    observed_steps: int = 20,
    spread: float = 3.0,
    coverage: float | None = None,
    placement: str = "uniform",
    hinges: int | None = None,
    sharing: str | None = None,
    optimizers: Optimizers | None = None,
) -> DelayedCalibration:
    """Freeze the curves for the first steps of training, then calibrate them and let them train.

    Inputs of curves change most while the weights are new, and values that no input reaches are not
    trained. So the curves keep their start function for `steps` steps. During the last
    `observed_steps` of these, their inputs are observed in the forward passes of the training. Then
    the hinges move there, as in `hinged.calibrate`. Source: the statistics-based realignment of
    Zhou, Zhu and Zhong, "Learning specialized activation functions with the piecewise linear unit"
    (ICCV 2021); their running averages with a momentum of 0.9 remember about 20 steps.

    Frozen means that the gradients of the curves are dropped before an optimiser sees them. The
    parameters keep `requires_grad`, so parameter groups and DistributedDataParallel can be made
    before or after this call. Do not step an optimiser that has only curves through a `GradScaler`
    before `done`, because `GradScaler` expects gradients. Compile the model after the calibration,
    because hooks do not run in compiled code. If `torch.distributed` is initialised, all processes
    must take the same steps; the calibration uses the inputs of all.

    Args:
        model: a model with curves.
        steps: how many optimiser steps curves are frozen, or their share of `total`, above 0 and
            below 1.
        total: the number of steps of the whole training; needed if `steps` is a share.
        observed_steps: during how many steps, the last of the frozen ones, inputs are observed.
        spread, coverage, placement, hinges, sharing: as in `hinged.calibrate`.
        optimizers: as in `hinged.calibrate`; needed only with `hinges=`.

    Returns:
        An object with a method `step()`; call it after every step of the optimiser. Keep the
        object: the curves are frozen only as long as it exists.

    Warns:
        NoInputsSeenWarning: at the last step, if no inputs were observed.

    Raises:
        ArgumentError: `steps` or `observed_steps` below 1, a share without a total, a model without
            curves, or settings that `hinged.calibrate` rejects.

    >>> import torch, hinged
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> optimiser = torch.optim.Adam(hinged.param_groups(model, lr=0.01))
    >>> calibration = calibrate_after(model, 0.1, total=100)
    >>> for step in range(100):
    ...     x = 50 * torch.randn(32, 2)
    ...     optimiser.zero_grad()
    ...     (model(x) - x.prod(dim=1, keepdim=True)).square().mean().backward()
    ...     optimiser.step()
    ...     calibration.step()
    >>> calibration.steps, calibration.done, calibration.result.layers["1"].after[1] > 20
    (10, True, True)
    """
    settings = CalibrationSettings(CALL, spread, coverage, placement, hinges, sharing)
    count = _step_count(steps, total)
    if (
        isinstance(observed_steps, bool)
        or not isinstance(observed_steps, int)
        or observed_steps < 1
    ):
        call = f"{CALL}(observed_steps=...)"
        hint = "expected a whole number of steps, at least 1"
        raise errors.ArgumentError(errors.message(call, repr(observed_steps), hint))
    return DelayedCalibration(model, count, observed_steps, settings, optimizers)


class DelayedCalibration:
    """A calibration that takes place after some steps of training; made by `calibrate_after`.

    Attributes:
        steps: how many steps the curves are frozen.
        observed_steps: during how many of these, the last ones, inputs are observed.
        count: how many steps were taken.
        result: what the calibration did; None before it, and in a training that was resumed after
            it.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        observed_steps: int,
        settings: CalibrationSettings,
        optimizers: Optimizers | None,
    ) -> None:
        self.steps = steps
        self.observed_steps = observed_steps
        self.count = 0
        self.result: Calibration | None = None
        self._removed = False
        self._settings, self._optimizers = settings, optimizers
        self._layers = curve_layers(model, CALL)
        parameters = (p for layer in self._layers.values() for p in layer.parameters())
        self._freezer = ParameterFreezer(parameters)
        self._collector: StatisticsCollector[InputStatistics] | None = None
        self._observe_if_due()

    @property
    def done(self) -> bool:
        """Whether the curves are trained now."""
        return self._removed or self.count >= self.steps

    def step(self) -> None:
        """Count a step of the optimiser. The last frozen step calibrates; later ones do nothing."""
        if self.done:
            return
        self.count += 1
        if self.done:
            self._calibrate()
        else:
            self._observe_if_due()

    def drop_gradients(self) -> None:
        """Drop the gradients of frozen curves.

        Needed only if the closure of an optimiser computes gradients under DistributedDataParallel,
        which writes the summed gradients after all other hooks.
        """
        if not self.done:
            self._freezer.drop_gradients()

    def remove(self) -> None:
        """Unfreeze the curves at once, without calibration."""
        self._removed = True
        self._freezer.unfreeze()
        if self._collector is not None:
            self._collector.remove()

    def state_dict(self) -> dict[str, int]:
        """Return the number of steps taken, for a checkpoint. Observed inputs are not saved."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the saved number of steps; the model's state has hinges and values."""
        self.count = state["count"]
        if self.done:
            self.remove()
        else:
            self._observe_if_due()

    def _observe_if_due(self) -> None:
        if self._collector is None and self.count >= self.steps - self.observed_steps:
            self._collector = StatisticsCollector(self._layers, InputStatistics.of, training=True)
            weakref.finalize(self, self._collector.remove)

    def _calibrate(self) -> None:
        assert self._collector is not None
        statistics = merge_layers_across_processes(
            self._layers, self._collector.statistics, InputStatistics.of
        )
        self.remove()
        if not statistics:
            got = f"no inputs of curves in the {self.observed_steps} steps before step {self.steps}"
            hint = (
                "hinges stay where they are. Hooks must run: call the model with gradients, and "
                "compile it after the calibration"
            )
            message = errors.message(f"{CALL}(...).step", got, hint)
            warnings.warn(message, errors.NoInputsSeenWarning, stacklevel=3)
        self.result = calibrate_layers(self._layers, statistics, self._settings, self._optimizers)


class ParameterFreezer:
    """Keeps optimisers from changing parameters by dropping their gradients, until `unfreeze()`."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        reference = weakref.ref(self)

        def before_optimizer_step(*_: Any) -> None:
            freezer = reference()
            if freezer is not None:
                freezer.drop_gradients()

        # The first hooks drop a gradient as soon as backward has computed it. The last one drops,
        # before a step, gradients that were written in another way.
        self._handles: list[Any] = [
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
            for parameter in self.parameters
        ]
        self._handles.append(register_optimizer_step_pre_hook(before_optimizer_step))
        # Unfreeze automatically when this object is collected.
        self.unfreeze = weakref.finalize(self, _remove_hooks, self._handles)

    def drop_gradients(self) -> None:
        """Drop the present gradients."""
        for parameter in self.parameters:
            _drop_gradient(parameter)


def _drop_gradient(parameter: Any) -> None:
    parameter.grad = None


def _remove_hooks(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _step_count(steps: int | float, total: int | float | None) -> int:
    call = f"{CALL}(steps=...)"
    if isinstance(steps, float) and 0 < steps < 1:
        if total is None or not 1 <= total < float("inf"):
            got = f"steps={steps} with total={total}"
            hint = "a share of the training needs the total number of steps as total="
            raise errors.ArgumentError(errors.message(call, got, hint))
        return max(1, round(steps * total))
    if isinstance(steps, bool) or int(steps) != steps or steps < 1:
        hint = "expected a number of steps, at least 1, or a share above 0 and below 1"
        raise errors.ArgumentError(errors.message(call, repr(steps), hint))
    return int(steps)
