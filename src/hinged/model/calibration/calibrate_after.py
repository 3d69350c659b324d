"""`calibrate_after`: freezes curves at the start of training, then calibrates and trains them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable
from numbers import Real
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
from hinged.nn.optimizers_argument import check_optimizers

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

    Curves are the trainable piecewise-linear functions of `PiecewiseLinear` layers. At the start of
    training, the inputs of curves change strongly. A curve learns only where it receives inputs.
    The curves therefore keep their start function for `steps` steps. In the last `observed_steps`
    of these steps, their inputs are observed in the forward passes of the training. Then the hinges
    move to the observed inputs, as in `hinged.calibrate`, and training of the curves begins.

    Frozen means that the gradients of the curves are dropped before an optimizer uses them. The
    parameters keep `requires_grad=True`. You can therefore create parameter groups and
    DistributedDataParallel before or after this call. Some rules apply until the calibration:

    - Compile the model after the calibration, because hooks do not run in compiled code.
    - If an optimizer has only curves, do not step it through a `GradScaler` while they are frozen,
      because `GradScaler` expects gradients.
    - If `torch.distributed` is initialised, all processes must take the same steps. The calibration
      uses the inputs of all processes.

    Source: the statistics-based realignment of Zhou, Zhu and Zhong, "Learning specialized
    activation functions with the piecewise linear unit" (ICCV 2021). The authors use running
    averages with momentum 0.9, which cover about 20 steps.

    Args:
        model: any module with `PiecewiseLinear` layers.
        steps: the number of optimizer steps for which the curves are frozen. A number between 0 and
            1 is a fraction of `total`.
        total: the number of optimizer steps of the whole training. Needed only if `steps` is a
            fraction.
        observed_steps: the number of steps in which inputs are observed. They are the last steps
            before the calibration.
        spread: half the width of the new range (first to last hinge), in standard deviations of the
            inputs.
        coverage: the fraction of the inputs inside the new range; None to use `spread`.
        placement: how hinges are placed: `"uniform"`, `"quantile"` or `"search"`, as in
            `hinged.calibrate`.
        hinges: the new number of hinges of each curve; None keeps the number.
        sharing: `"channel"` for separate hinges in each channel, `"layer"` for the same hinges in
            all channels of a layer; None keeps the present sharing of each layer.
        optimizers: one or several optimizers in which new parameters replace the old ones. Needed
            only if the number of hinges changes.

    Returns:
        A `DelayedCalibration`. Call its method `step()` after every step of the optimizer. Keep the
        object: if it is deleted, the curves are unfrozen without a calibration.

    Warns:
        NoInputsSeenWarning: raised by `step()` when it calibrates, if the curves received no inputs
            in the `observed_steps`.

    Raises:
        ArgumentError: if `steps` is neither a whole number of at least 1 nor a fraction between 0
            and 1; if it is a fraction and `total` is None; if `observed_steps` is below 1; if the
            model has no curves; or if `hinged.calibrate` rejects a setting.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> optimizer = torch.optim.Adam(hinged.param_groups(model, lr=0.01))
    >>> calibration = hinged.calibrate_after(model, 0.1, total=100)
    >>> for step in range(100):
    ...     x = 50 * torch.randn(32, 2)
    ...     optimizer.zero_grad()
    ...     (model(x) - x.prod(dim=1, keepdim=True)).square().mean().backward()
    ...     optimizer.step()
    ...     calibration.step()
    >>> calibration.steps, calibration.done, calibration.result.layers["1"].after[1] > 20
    (10, True, True)
    """
    settings = CalibrationSettings(CALL, spread, coverage, placement, hinges, sharing)
    count = _step_count(steps, total)
    used = None if optimizers is None else check_optimizers(optimizers, CALL)
    _check_observed_steps(observed_steps)
    return DelayedCalibration(model, count, observed_steps, settings, used)


class DelayedCalibration:
    """A calibration that takes place after some steps of training; `calibrate_after` returns it.

    Attributes:
        steps: the number of optimizer steps for which the curves are frozen.
        observed_steps: the number of steps in which inputs are observed. They are the last steps
            before the calibration.
        count: how often `step()` has counted a step so far.
        result: the `Calibration` that says how each layer changed. None before the calibration, and
            also if training was resumed from a checkpoint that was saved after the calibration.
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
        """Whether the curves are trained now: after the calibration, or after `remove()`."""
        return self._removed or self.count >= self.steps

    def step(self) -> None:
        """Count one step of the optimizer. The call number `steps` calibrates the curves.

        Later calls have no effect.
        """
        if self.done:
            return
        self.count += 1
        if self.done:
            self._calibrate()
        else:
            self._observe_if_due()

    def drop_gradients(self) -> None:
        """Set the gradients of frozen curves to None.

        This object normally drops the gradients by itself. Call this method in one case only: an
        optimizer computes gradients in a closure, and the model is wrapped in
        DistributedDataParallel. The wrapper then writes gradients after all hooks have run.
        """
        if not self.done:
            self._freezer.drop_gradients()

    def remove(self) -> None:
        """Unfreeze the curves immediately, without a calibration."""
        self._removed = True
        self._freezer.unfreeze()
        if self._collector is not None:
            self._collector.remove()

    def state_dict(self) -> dict[str, int]:
        """Return a dictionary with the number of counted steps, for a checkpoint.

        Observed inputs are not included.
        """
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the number of steps in `state`, which `state_dict()` has returned.

        The hinges and values of the curves are in the `state_dict` of the model instead.
        """
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
            got = f"no inputs of curves in the {self.observed_steps} steps up to step {self.steps}"
            hint = (
                "the hinges were not moved. Forward hooks observe the inputs: in these steps, call "
                "the model with gradients enabled, and compile it only after the calibration"
            )
            message = errors.message(f"{CALL}(...).step", got, hint)
            warnings.warn(message, errors.NoInputsSeenWarning, stacklevel=3)
        self.result = calibrate_layers(self._layers, statistics, self._settings, self._optimizers)


class ParameterFreezer:
    """Keeps optimizers from changing the given parameters until `unfreeze()` is called.

    The gradients of the parameters are dropped (set to None) before an optimizer can use them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        reference = weakref.ref(self)

        def before_optimizer_step(*_: Any) -> None:
            freezer = reference()
            if freezer is not None:
                freezer.drop_gradients()

        # A hook on each parameter drops its gradient when backward has computed it. A hook before
        # each optimizer step drops gradients that were set in other ways, such as by assignment.
        self._handles: list[Any] = [
            parameter.register_post_accumulate_grad_hook(_drop_gradient)
            for parameter in self.parameters
        ]
        self._handles.append(register_optimizer_step_pre_hook(before_optimizer_step))
        # The hooks are removed by calling `unfreeze()`, or when this object is deleted.
        self.unfreeze = weakref.finalize(self, _remove_hooks, self._handles)

    def drop_gradients(self) -> None:
        """Set the gradients of the frozen parameters to None."""
        for parameter in self.parameters:
            _drop_gradient(parameter)


def _drop_gradient(parameter: Any) -> None:
    parameter.grad = None


def _remove_hooks(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _check_observed_steps(steps: int) -> None:
    if not errors.is_whole_number(steps, 1):
        call = f"{CALL}(observed_steps=...)"
        hint = "expected a whole number of steps, at least 1"
        raise errors.ArgumentError(errors.message(call, repr(steps), hint))


def _step_count(steps: int | float, total: int | float | None) -> int:
    if total is not None and (isinstance(total, bool) or not isinstance(total, Real)):
        hint = "expected the number of optimizer steps of the whole training"
        raise errors.ArgumentError(errors.message(f"{CALL}(total=...)", errors.shown(total), hint))
    call = f"{CALL}(steps=...)"
    if isinstance(steps, float) and 0 < steps < 1:
        if total is None or not 1 <= total < float("inf"):
            got = f"steps={steps} and total={total}"
            hint = (
                "a fraction needs the number of steps of the whole training: pass it as total=..."
            )
            raise errors.ArgumentError(errors.message(call, got, hint))
        return max(1, round(steps * total))
    is_number = isinstance(steps, Real) and not isinstance(steps, bool)
    if not (is_number and steps >= 1 and steps % 1 == 0):
        hint = "expected a number of steps, at least 1, or a fraction above 0 and below 1"
        raise errors.ArgumentError(errors.message(call, errors.shown(steps), hint))
    return int(steps)
