"""The recipe by which curves are best trained: freeze them, collect_statistics, calibrate, train."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hinged import errors
from hinged.model.hinges.calibrate import Calibration, Optimizers, apply
from hinged.model.hinges.move_layer import Target
from hinged.model.observation.layer_statistics import Collector, InputStatistics, merged
from hinged.nn import curve_layers

CALL = "hinged.calibrate_after"


def calibrate_after(
    model: nn.Module,
    steps: int | float,
    *,
    total: int | float | None = None,
    watched: int = 20,
    optimizers: Optimizers | None = None,
    **where: Any,
) -> DelayedCalibration:
    """Freeze the curves for the first steps of training, then calibrate them and let them train.

    InputStatistics wander most while weights are new, and values that no input meets are not trained. So the
    curves stay the function they start as for `steps` steps; through the last `watched` of these
    their inputs are watched, in the training's own forward passes; then hinges move there, as
    `hinged.calibrate` does it. Source: the statistics-based realignment of Zhou, Zhu and Zhong,
    "Learning specialized activation functions with the piecewise linear unit" (ICCV 2021), whose
    running averages with a momentum of 0.9 remember about 20 steps.

    Frozen means that gradients of the curves are dropped before an optimiser sees them: the
    parameters keep `requires_grad`, so that parameter groups and DistributedDataParallel may be
    made before or after. An optimiser that has nothing but curves must not be stepped through a
    `GradScaler` before `done`, which asks for gradients; and a model is compiled best after the
    warm-up, since hooks do not run in compiled code. Where `torch.distributed` is initialised all
    processes take the same steps, and calibrate for the inputs of all.

    Args:
        model: a model with curves.
        steps: how many steps of the optimiser curves are frozen, or their share of `total`, above 0
            and below 1.
        total: how many steps the whole training has, for a share.
        watched: how many of those steps, the last ones, are watched.
        optimizers: as in `hinged.calibrate`, needed with `hinges=` alone.
        where: `spread`, `coverage`, `placement`, `hinges` and `per_channel` of `hinged.calibrate`.

    Returns:
        An object whose `step()` is to be called after every step of the optimiser. Without it the
        curves are not frozen: it must be kept.

    Warns:
        NoInputsSeenWarning: at the last step, where no inputs were seen.

    Raises:
        ArgumentError: steps or watched below 1, a share without a total, a model without curves, or
            what `hinged.calibrate` refuses.

    >>> import torch, hinged
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> optimiser = torch.optim.Adam(hinged.param_groups(model, lr=0.01))
    >>> warm = calibrate_after(model, 0.1, total=100)
    >>> for step in range(100):
    ...     x = 50 * torch.randn(32, 2)
    ...     optimiser.zero_grad()
    ...     (model(x) - x.prod(dim=1, keepdim=True)).square().mean().backward()
    ...     optimiser.step()
    ...     warm.step()
    >>> warm.steps, warm.done, warm.calibration.layers["1"].after[1] > 20
    (10, True, True)
    """
    target = Target(CALL, **where)
    count = _count(steps, total)
    if isinstance(watched, bool) or not isinstance(watched, int) or watched < 1:
        hint = "expected a whole number of steps, at least 1"
        raise errors.ArgumentError(errors.message(f"{CALL}(watched=...)", repr(watched), hint))
    return DelayedCalibration(model, count, watched, target, optimizers)


class DelayedCalibration:
    """The recipe under way; `calibrate_after` makes it.

    Attributes:
        steps: how many steps the curves are frozen.
        count: how many steps were taken.
        calibration: what calibrating did; None before, and where training was resumed after it.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        watched: int,
        target: Target,
        optimizers: Optimizers | None,
    ) -> None:
        self.steps = steps
        self.watched = watched
        self.count = 0
        self.calibration: Calibration | None = None
        self._removed = False
        self._target, self._optimizers = target, optimizers
        self._layers = curve_layers(model, CALL)
        parameters = (p for layer in self._layers.values() for p in layer.parameters())
        self._frozen = Frozen(parameters)
        self._collector: Collector[InputStatistics] | None = None
        self._watch_if_due()

    @property
    def done(self) -> bool:
        """Whether the curves are being trained."""
        return self._removed or self.count >= self.steps

    def step(self) -> None:
        """Count a step of the optimiser; the last one calibrates. Further ones do nothing."""
        if self.done:
            return
        self.count += 1
        if self.done:
            self._calibrate()
        else:
            self._watch_if_due()

    def drop_gradients(self) -> None:
        """Drop the gradients of frozen curves; only needed where an optimiser's closure computes
        them under DistributedDataParallel, whose sums come after every other hook."""
        if not self.done:
            self._frozen.drop()

    def remove(self) -> None:
        """Let the curves train at once, without calibrating."""
        self._removed = True
        self._frozen.thaw()
        if self._collector is not None:
            self._collector.remove()

    def state_dict(self) -> dict[str, int]:
        """Return the number of steps taken, for a checkpoint. What was watched is not in it."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after as many steps; hinges and values come with the state of the model."""
        self.count = state["count"]
        if self.done:
            self.remove()
        else:
            self._watch_if_due()

    def _watch_if_due(self) -> None:
        if self._collector is None and self.count >= self.steps - self.watched:
            self._collector = Collector(self._layers, InputStatistics.of, training=True)
            weakref.finalize(self, self._collector.remove)

    def _calibrate(self) -> None:
        assert self._collector is not None
        seen = merged(self._layers, self._collector.seen, InputStatistics.of)
        self.remove()
        if not seen:
            got = f"no inputs of curves in the {self.watched} steps before step {self.steps}"
            hint = (
                "hinges stay where they are. Hooks must run: call the model with gradients, and "
                "compile it after the warm-up"
            )
            message = errors.message(f"{CALL}(...).step", got, hint)
            warnings.warn(message, errors.NoInputsSeenWarning, stacklevel=3)
        self.calibration = apply(self._layers, seen, self._target, self._optimizers)


class Frozen:
    """Keeps optimisers from changing parameters: their gradients are dropped, until `thaw()`."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        own = weakref.ref(self)

        def before_step(*_: Any) -> None:
            frozen = own()
            if frozen is not None:
                frozen.drop()

        # As soon as they are there, and before a step those that something else has written.
        self._handles: list[Any] = [
            parameter.register_post_accumulate_grad_hook(_drop) for parameter in self.parameters
        ]
        self._handles.append(register_optimizer_step_pre_hook(before_step))
        # Nobody could thaw what nobody holds any more.
        self.thaw = weakref.finalize(self, _remove, self._handles)

    def drop(self) -> None:
        """Drop what gradients there are."""
        for parameter in self.parameters:
            _drop(parameter)


def _drop(parameter: Any) -> None:
    parameter.grad = None


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _count(steps: int | float, total: int | float | None) -> int:
    call = f"{CALL}(steps=...)"
    if isinstance(steps, float) and 0 < steps < 1:
        if total is None or not 1 <= total < float("inf"):
            got = f"steps={steps} with total={total}"
            hint = "a share of the training needs the number of its steps as total="
            raise errors.ArgumentError(errors.message(call, got, hint))
        return max(1, round(steps * total))
    if isinstance(steps, bool) or int(steps) != steps or steps < 1:
        hint = "expected a number of steps, at least 1, or a share above 0 and below 1"
        raise errors.ArgumentError(errors.message(call, repr(steps), hint))
    return int(steps)
