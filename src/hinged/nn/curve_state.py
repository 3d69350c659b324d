"""`CurveState`: the state of the training of one layer's curves in their metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hinged.curve.evaluate import evaluate
from hinged.curve.metric import MetricState, MetricStep, evenly_spread_moments
from hinged.kernels import metric_kernel
from hinged.nn.distributed_tensors import overwrite, whole
from hinged.nn.input_observer import InputObserver

MEASURED_EVERY = 10
"""The number of steps from one measurement of the inputs of curves to the next."""

_KEPT = 0.8
"""The part of the running mean of the moments of inputs that remains at a new measurement."""


class CurveState:
    """The curves of one layer, their optimizer group and their optimizer state, in one step.

    The optimizer state has these entries. All tensors are whole, also if the parameter is spread
    over several processes.

    - `step`: the number of steps so far, a scalar tensor, as in the optimizers of torch;
    - `start`: the values before the first step, shape `(C, K)`;
    - `hinges`: the hinges that the other entries belong to;
    - `direction`, `size`, `moments`: the running means of `hinged.curve.metric.MetricState`.

    Args:
        observer: the observer of the layer's inputs.
        parameter: the parameter `values` of the layer, with a gradient.
        group: the optimizer group, with `lr`, `smoothing` and `curve_decay`.
        state: the optimizer state of the parameter. It changes in place.
    """

    def __init__(
        self,
        observer: InputObserver,
        parameter: nn.Parameter,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        self.observer, self.parameter, self.group, self.state = observer, parameter, group, state
        if "start" in state:
            self._continue()
        else:
            self._begin(_wide(whole(parameter)).clone())

    def belongs_to(self, group: dict[str, Any], state: dict[str, Any] | None) -> bool:
        """Return whether the layer still has the parameter, and the optimizer this group and
        state."""
        values, steps = self.observer.layer._parameters.get("values"), self._steps.state
        return (
            self.parameter is values
            and self.group is group
            and self.state is state
            and steps.direction is state["direction"]
            and steps.moments is state["moments"]
        )

    def _begin(self, start: Tensor) -> None:
        """Begin the training of curves that start with these values at the hinges of the layer."""
        hinges = self.observer.layer.hinges.clone()
        self.state.update(
            hinges=hinges,
            step=torch.zeros((), dtype=torch.float32),
            start=start,
            direction=torch.zeros_like(start),
            size=start.new_zeros(len(start)),
            moments=evenly_spread_moments(hinges.to(start), len(start)),
            measured=False,
        )
        self._continue()

    def _continue(self) -> None:
        """Continue from the optimizer state."""
        state = self.state
        # Loading a state moves this tensor to the device of the parameter if the optimizer is
        # fused. Reading it there would wait for the GPU.
        state["step"] = state["step"].cpu()
        self._count = int(state["step"])
        running = MetricState(state["direction"], state["size"], state["moments"], state["start"])
        self._steps = metric_kernel.LayerSteps(self.observer.layer.hinges, running)

    @property
    def measurement_due(self) -> bool:
        """Whether this step uses the inputs of the forward passes since the last step."""
        return not self.state["measured"] or self._count % MEASURED_EVERY == 0

    def measure(self) -> tuple[Tensor, int]:
        """Return the sum of the moments of the observed inputs, and the number of forward passes.

        Both are 0 if no forward pass was observed.
        """
        total, passes = self.observer.take()
        return (torch.zeros_like(self.state["moments"]), 0) if total is None else (total, passes)

    def add_measurement(self, moments: Tensor | None) -> None:
        """Update the running mean of the moments. `moments` is None without forward passes."""
        if moments is None:
            return
        self._steps.state.moments.lerp_(moments, 1 - _KEPT if self.state["measured"] else 1.0)
        self.state["measured"] = True

    def step(self, grad_scale: float = 1.0) -> None:
        """Take one step in the metric, with the gradient divided by `grad_scale`."""
        group, parameter = self.group, self.parameter
        assert parameter.grad is not None
        if self.observer.hinges_changed():
            self._adapt_to(self.observer.layer.hinges)
        self.state["step"].add_(1)
        self._count += 1
        self.observer.needed = self.measurement_due
        factor = (-1.0 if group.get("maximize") else 1.0) / grad_scale
        values, grad = _wide(whole(parameter)), _wide(whole(parameter.grad))
        step = MetricStep(
            float(group["lr"]), group["smoothing"], group["curve_decay"], count=self._count
        )
        self._steps.take(values, grad if factor == 1.0 else grad * factor, step)
        if values is not parameter:
            overwrite(parameter, values)

    def _adapt_to(self, hinges: Tensor) -> None:
        """Begin anew if the hinges have moved, with the old start as a function."""
        before = self.state["hinges"]
        if torch.equal(before, hinges):
            self._continue()
        else:
            tails = self.observer.layer.tails
            self._begin(_evaluate_at(hinges, self.state["start"], before, tails))


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or in float64 if it is in float64."""
    if tensor.dtype is torch.float32:
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _evaluate_at(hinges: Tensor, values: Tensor, old_hinges: Tensor, tails: str) -> Tensor:
    """Return the outputs at `hinges` of curves with values at other hinges, shape `(C, K)`.

    Free tails are continued as linear tails.
    """
    rows = hinges.to(values).expand(len(values), -1)
    tails = "linear" if tails == "free" else tails
    return evaluate(rows.mT, values, old_hinges.to(values), dim=1, tails=tails).mT.contiguous()
