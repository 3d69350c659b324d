"""`InputObserver`: measures the inputs of a curve layer in some forward passes of a training."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from hinged.curve.evaluate import check_input
from hinged.kernels.eager_calls import (
    PLAIN_TYPES,
    has_dispatch_modes,
    is_exporting,
    is_intercepted,
)
from hinged.kernels.metric_kernel import input_moments
from hinged.kernels.nested_tensors import joined
from hinged.nn.layer_arguments import CALL
from hinged.nn.living_objects import LivingObjects
from hinged.nn.piecewise_linear import PiecewiseLinear

_numbers = itertools.count()
_observers: LivingObjects[InputObserver] = LivingObjects()


def _hinges_of(layer: PiecewiseLinear) -> Tensor:
    """Return the hinges of a layer, which `layer.hinges` would read more slowly."""
    hinges: Tensor = layer._get_tensor(layer._buffers, "hinges")
    return hinges


def _no_layer() -> None:
    """Stand for the reference to a layer that was deleted."""


class InputObserver:
    """Measures the inputs of one layer for its metric, in forward passes in which they are needed.

    The layer has the observer and calls it in each forward pass. A copy of the layer has a copy of
    the observer. A shallow copy of the layer, such as a replica of `torch.nn.DataParallel`, has the
    same observer, which ignores calls by the copy.

    Attributes:
        needed: whether the next forward passes are to be measured.
    """

    def __init__(self, layer: PiecewiseLinear) -> None:
        self.needed = True
        self._register(layer)

    def _register(self, layer: PiecewiseLinear | None) -> None:
        # With a strong reference, the memory of a deleted model would be freed late.
        self._layer: Callable[[], PiecewiseLinear | None]
        self._layer = _no_layer if layer is None else weakref.ref(layer)
        self._expected_hinges: Tensor | None = None
        number = next(_numbers)
        # Compiled code passes this tensor to the operator below. A number would be part of the
        # code, which would then be compiled again for each layer.
        self._number = torch.tensor(number, device="cpu")
        _observers.add(number, self)
        self.forget()

    @property
    def layer(self) -> PiecewiseLinear:
        """The layer to which the observer belongs."""
        layer = self._layer()
        assert layer is not None
        return layer

    @property
    def hinges(self) -> Tensor:
        """The hinges of the layer."""
        return _hinges_of(self.layer)

    def observes(self, values: Tensor) -> bool:
        """Return whether the layer exists and has the parameter `values`."""
        layer = self._layer()
        return layer is not None and layer._parameters.get("values") is values

    def forget(self) -> None:
        """Forget all measured forward passes."""
        self._sum: Tensor | None = None
        self._passes = 0
        self._inputs_per_sample = 0.0
        self._measured_hinges: Tensor | None = None

    def expect(self, needed: bool) -> None:
        """Forget all measured forward passes, and say whether the next ones are to be measured. If
        the layer gets other hinges, they are measured anyway."""
        if self._passes:
            self.forget()
        self.needed = needed
        self._expected_hinges = self.hinges

    def __call__(self, layer: PiecewiseLinear, x: Any) -> None:
        """Measure the inputs `x` of a forward pass that computes gradients of the values. Objects
        that are no tensors are ignored."""
        compiling = torch.compiler.is_compiling()
        if layer is not self._layer() or not (compiling or self.is_due(layer)):
            return
        values = layer._parameters.get("values")
        if values is None or not (values.requires_grad and torch.is_grad_enabled()):
            return
        if compiling:
            if not is_exporting(if_unknown=True) and isinstance(x, Tensor):
                check_input(x, layer.channels, layer.dim, CALL)
                with torch.no_grad():
                    torch.ops.hinged.observe_inputs(x.detach(), self._number)
        elif type(x) in PLAIN_TYPES and not is_intercepted(x):
            check_input(joined(x) if x.is_nested else x, layer.channels, layer.dim, CALL)
            self.measure(x, layer)

    def is_due(self, layer: PiecewiseLinear) -> bool:
        """Return whether a forward pass of the layer is to be measured: if `needed` is set, or if
        the layer has other hinges than at the last call of `expect`."""
        last = self._expected_hinges
        return self.needed or (last is not None and last is not _hinges_of(layer))

    def measure(self, x: Tensor, layer: PiecewiseLinear) -> None:
        """Measure the inputs `x` of a forward pass of the layer. An empty tensor does not count."""
        if x.numel() == 0:
            return
        hinges = _hinges_of(layer)
        if self._measured_hinges is not hinges:
            self.forget()
            self._measured_hinges = hinges
        # Modes such as that of selective checkpointing would record these operations.
        modes = _disable_current_modes() if has_dispatch_modes() else contextlib.nullcontext()
        with torch.no_grad(), modes:
            inputs = joined(x.detach()) if x.is_nested else x.detach()
            moments = input_moments(inputs, hinges, layer.channels, layer.dim, layer.tails)
            self._sum = moments if self._sum is None else self._sum + moments.to(self._sum.device)
        self._passes += 1
        self._inputs_per_sample += x.numel() / (layer.channels * _count_samples(x, layer))

    def take(self) -> tuple[Tensor, int, float] | None:
        """Return what was measured, and forget it: the sum of the moments, the number of forward
        passes, and the sum of the numbers of inputs that a curve gets from one sample.

        The result is None without forward passes with the present hinges.
        """
        taken = None
        if self._sum is not None and self._measured_hinges is self.hinges:
            taken = self._sum, self._passes, self._inputs_per_sample
        self.forget()
        return taken

    def __getstate__(self) -> dict[str, Any]:
        return {"needed": self.needed, "layer": self._layer()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.needed = True
        self._register(state["layer"])


def _count_samples(x: Tensor, layer: PiecewiseLinear) -> int:
    """Return the number of samples in the inputs of a layer: the length of the first axis, or 1 if
    the first axis is that of the channels."""
    without_batch = x.dim() == 0 or (layer.channels > 1 and layer.dim % x.dim() == 0)
    return 1 if without_batch else x.size(0)  # A nested tensor has no shape.


@torch.library.custom_op("hinged::observe_inputs", mutates_args=("number",))
def observe_inputs_of_compiled_code(x: Tensor, number: Tensor) -> None:
    """Measure the inputs `x` of a layer in compiled code, if they are needed now.

    Args:
        x: the inputs.
        number: the number of the layer's observer. It does not change. It counts as changed so that
            `torch.compile` does not remove the operator.
    """
    observer = _observers.get(int(number))
    if observer is not None and observer.is_due(observer.layer):
        observer.measure(x, observer.layer)


@observe_inputs_of_compiled_code.register_fake
def _(_x: Tensor, _number: Tensor) -> None:
    return None


@observe_inputs_of_compiled_code.register_vmap
def _(*_: Any) -> tuple[None, None]:
    return None, None  # Inside `vmap`, nothing is measured, as in calls that are not compiled.


def observe_inputs(layer: PiecewiseLinear) -> None:
    """Give a layer an `InputObserver`, or tell the present one that a training begins."""
    observer = layer._observer
    if isinstance(observer, InputObserver) and observer._layer() is layer:
        observer.needed = True
        return
    layer._observer = InputObserver(layer)
    if type(layer).forward is not PiecewiseLinear.forward or "forward" in vars(layer):
        # This method may not call that of `PiecewiseLinear`. If it does, each input counts twice,
        # which does not change the means.
        layer.register_forward_pre_hook(_observe, with_kwargs=True)


def _observe(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Call the observer of a layer before a forward pass. A module that has replaced the layer may
    share its hooks, and nothing is observed there."""
    if isinstance(module, PiecewiseLinear) and module._observer is not None:
        module._observer(module, args[0] if args else kwargs.get("input"))


def observers_by_values() -> dict[int, list[InputObserver]]:
    """Return the observers of all layers, in the order in which they were made, which is the same
    in all processes. The keys are the `id` of the parameters `values`, which several layers may
    share."""
    found: dict[int, list[InputObserver]] = {}
    for observer in _observers:
        layer = observer._layer()
        values = None if layer is None else layer._parameters.get("values")
        if values is not None:
            found.setdefault(id(values), []).append(observer)
    return found
