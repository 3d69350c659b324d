"""`CurveState`: the state of the training of one layer's curves in their metric."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import Curve, check_shapes
from hinged.curve.metric import MetricState, MetricStep, evenly_spread_moments
from hinged.kernels import metric_kernel
from hinged.nn.distributed_tensors import Measurement, overwrite, whole
from hinged.nn.input_observer import InputObserver

_CALL = "Optimizer.step"

MEASURED_EVERY = 10
"""The number of steps from one measurement of the inputs of curves to the next."""

_KEPT = 0.8
"""The part of the running mean of the moments of inputs that remains at a new measurement."""

_running_tensors = operator.itemgetter(*MetricState._fields)


class CurveState:
    """The training of the curves of one parameter by one optimizer.

    The optimizer state has these entries. All tensors are whole, also if the parameter is spread
    over several processes.

    - `step`: the number of steps so far, a scalar tensor, as in the optimizers of torch;
    - `start`: the values before the first step, shape `(C, K)`;
    - `hinges`: the hinges that the other entries belong to;
    - `measured`: whether inputs have been measured;
    - `inputs_per_sample`: the number of inputs that a curve gets from one sample of a batch: 1 in
      an MLP, and the number of pixels or tokens otherwise;
    - `direction`, `size`, `largest`, `moments`: see `hinged.curve.metric.MetricState`.

    Args:
        observers: the observers of all layers that have the parameter. The hinges of the first
            layer count.
        parameter: the parameter `values` of the layer, with a gradient.
        group: the optimizer group, with `lr`, `smoothing` and `curve_decay`.
        state: the optimizer state of the parameter. It changes in place.

    Raises:
        ArgumentError: if the state belongs to another number of curves.
    """

    def __init__(
        self,
        observers: Sequence[InputObserver],
        parameter: nn.Parameter,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        self.observers, self.parameter, self.group, self.state = observers, parameter, group, state
        self._version: int | None = None
        if "start" in state:
            self._continue()
        else:
            check_shapes(_CALL, parameter, self.observers[0].hinges, "linear", None)
            start = _wide(whole(parameter)).clone()
            self._begin(start, start.new_zeros(len(start)))

    def belongs_to(self, group: dict[str, Any], state: dict[str, Any] | None) -> bool:
        """Return whether the layer still has the parameter with this shape, and the optimizer this
        group and state."""
        return (
            self.observers[0].observes(self.parameter)
            and self.group is group
            and self.state is state
            and all(map(operator.is_, self._steps.state, _running_tensors(state)))
            and self._steps.state.start.shape == self.parameter.shape
        )

    def adapt_to_hinges(self) -> None:
        """Begin anew if the hinges of the layer have moved, with the old start as a function.

        The largest size so far stays, so that the pull to the start does not begin anew at its full
        strength. It may change, because sizes depend on where the hinges are.
        """
        hinges, before = self.observers[0].hinges, self.state["hinges"]
        version = hinges._version
        if self._steps.hinges is hinges and self._version == version:
            return  # Comparing the numbers would wait for a GPU.
        if torch.equal(before, hinges):
            self._continue()
        else:
            check_shapes(_CALL, self.parameter, hinges, "linear", None)
            tails = self.observers[0].layer.tails
            points = hinges.to(self.state["start"]).expand(len(self.parameter), -1)
            start = start_curve(self.state, tails)(points.mT).mT.contiguous()
            self._begin(start, self.state["largest"])
        self._version = version

    def _begin(self, start: Tensor, largest: Tensor) -> None:
        """Begin the training of curves that start with these values at the hinges of the layer.

        Args:
            start: the values, shape `(C, K)`.
            largest: the largest size of all steps so far, shape `(C,)`.
        """
        hinges = self.observers[0].hinges.clone()
        self.state.update(
            hinges=hinges,
            step=torch.zeros((), dtype=torch.float32),
            start=start,
            direction=torch.zeros_like(start),
            size=start.new_zeros(len(start)),
            largest=largest,
            moments=evenly_spread_moments(hinges.to(start), len(start)),
            measured=False,
            inputs_per_sample=1.0,
        )
        self._continue()

    def _continue(self) -> None:
        """Continue from the optimizer state."""
        state = self.state
        _check_state({"largest": state.get("size"), **state}, self.parameter)
        # States of earlier versions have no largest size. The pull is then whole in the next step.
        state.setdefault("largest", torch.zeros_like(state["size"]))
        # Loading a state casts all tensors to the dtype of the parameter. A fused optimizer also
        # moves the number of steps to its device, and reading it there would wait for the GPU.
        state["step"] = state["step"].cpu()
        self._count = int(state["step"])
        for name in MetricState._fields:
            state[name] = _wide(state[name])
        running = MetricState(*_running_tensors(state))
        self._steps = metric_kernel.LayerSteps(self.observers[0].hinges, running)

    @property
    def measurement_due(self) -> bool:
        """Whether this step uses the inputs of the forward passes since the last step."""
        return not self.state["measured"] or self._count % MEASURED_EVERY == 0

    def measure(self) -> Measurement:
        """Return the sum of the moments of the observed inputs, the number of forward passes, and
        the sum of the numbers of inputs per sample.

        All are 0 if no forward pass was observed.
        """
        mean = self._steps.state.moments
        total: Tensor | None = None
        passes, inputs = 0, 0.0
        for observer in self.observers:
            taken = observer.take()
            if taken is not None and taken[0].shape == mean.shape:
                total = taken[0] if total is None else total + taken[0].to(total)
                passes += taken[1]
                inputs += taken[2]
        return torch.zeros_like(mean) if total is None else total.to(mean), passes, inputs

    def add_measurement(self, means: tuple[Tensor, float] | None) -> None:
        """Update the running mean of the moments, and the number of inputs per sample.

        Args:
            means: the mean moments and the mean number of inputs per sample over all forward passes
                and processes. None without forward passes.
        """
        if means is None:
            return
        moments, inputs_per_sample = means
        self._steps.update_moments(moments, 1 - _KEPT if self.state["measured"] else 1.0)
        self.state["measured"] = True
        self.state["inputs_per_sample"] = inputs_per_sample

    def step(self, grad_scale: float = 1.0) -> None:
        """Take one step in the metric, with the gradient divided by `grad_scale`."""
        group, parameter = self.group, self.parameter
        assert parameter.grad is not None
        self._count += 1
        self.state["step"].fill_(self._count)  # Adding 1 would take several microseconds.
        due = self.measurement_due
        for observer in self.observers:
            # A resumed training may have measured more than it needs. It is forgotten.
            observer.expect(due)
        factor = (-1.0 if group.get("maximize") else 1.0) / grad_scale
        values, grad = _wide(whole(parameter)), _wide(whole(parameter.grad))
        rate, smoothing = float(group["lr"]), float(group["smoothing"])  # They may be tensors.
        decay = float(group["curve_decay"]) / self.state["inputs_per_sample"]
        step = MetricStep(rate, smoothing, decay, count=self._count)
        self._steps.take(values, grad if factor == 1.0 else grad * factor, step)
        if values is not parameter:
            overwrite(parameter, values)


def _check_state(state: Mapping[str, Any], parameter: nn.Parameter) -> None:
    """Raise `ArgumentError` if an optimizer state belongs to another layer or is damaged.

    Compiled code reads and writes as many numbers as these shapes say.
    """
    channels, count = parameter.shape
    shapes = {
        "start": (channels, count),
        "direction": (channels, count),
        "size": (channels,),
        "largest": (channels,),
        "moments": (channels, 2 * count + 1),
        "step": (),
    }
    for name, shape in shapes.items():
        found = state.get(name)
        if isinstance(found, Tensor):
            if found.shape == shape:
                continue
            kind = f"shape {tuple(found.shape)}"
        else:
            kind = f"class {type(found).__name__}"
        got = f"a state with {name!r} of {kind} for a layer with values of shape {channels, count}"
        hint = f"expected shape {shape}; load the state of the same model, or make a new optimizer"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32, or in float64 if it is in float64."""
    if tensor.dtype is torch.float32:
        return tensor
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def start_curve(state: Mapping[str, Any], tails: str) -> Curve:
    """Return the curves before training, from the optimizer state of the values of a layer.

    Linear tails stand for free tails, because the state does not have their slopes.

    Args:
        state: the optimizer state, with the entries `start` and `hinges`.
        tails: the tails of the layer.
    """
    start = state["start"]
    return Curve(state["hinges"].to(start), start, "linear" if tails == "free" else tails)
