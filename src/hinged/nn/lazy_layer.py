"""`LazyPiecewiseLinear`: the layer that `hinged.PiecewiseLinear(None)` makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from hinged import errors
from hinged.curve.evaluate import check_input
from hinged.nn.layer_arguments import CALL
from hinged.nn.piecewise_linear import PiecewiseLinear


class LazyPiecewiseLinear(LazyModuleMixin, PiecewiseLinear):
    """A `PiecewiseLinear` that takes its number of channels from its first input.

    It is made by `PiecewiseLinear(None)`. After the first call, it is a `PiecewiseLinear`.
    """

    cls_to_become = PiecewiseLinear

    @classmethod
    def take_over(cls, layer: PiecewiseLinear) -> None:
        """Turn a layer with one channel into a lazy layer."""
        layer.__class__ = cls
        for name, parameter in layer._parameters.items():
            if parameter is not None:
                factory: dict[str, Any] = {"device": parameter.device, "dtype": parameter.dtype}
                unknown = UninitializedParameter(**factory)
                setattr(layer, name, unknown)
        lazy: Any = layer
        lazy._initialize_hook = lazy.register_forward_pre_hook(
            lazy._infer_parameters, with_kwargs=True
        )
        lazy._load_hook = lazy._register_load_state_dict_pre_hook(lazy._lazy_load_hook)

    def initialize_parameters(self, x: Tensor) -> None:
        """Create the curves for the channels of the first input."""
        if not self.has_uninitialized_params():
            self.channels = self.values.shape[0]
            return
        check_input(x, 1, self.dim, CALL)
        if not -x.dim() <= self.dim < x.dim():
            got = f"a tensor of shape {tuple(x.shape)} with dim={self.dim}"
            hint = "expected an input with the channels on axis dim: change dim="
            raise errors.ArgumentError(errors.message(f"{CALL}(x)", got, hint))
        self._materialize(x.shape[self.dim])

    def reset_parameters(self) -> None:
        """Restore the start if the number of channels is known, and do nothing otherwise."""
        if not self.has_uninitialized_params():
            super().reset_parameters()

    def _materialize(self, channels: int) -> None:
        self.channels = channels
        for name, parameter in self._parameters.items():
            if isinstance(parameter, UninitializedParameter):
                start: Tensor = getattr(self._start, name)
                shape = (channels, start.shape[1])
                parameter.materialize(shape, self.hinges.device, self.hinges.dtype)
                with torch.no_grad():
                    parameter.copy_(start)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        values = state_dict.get(f"{prefix}values")
        if isinstance(values, UninitializedParameter):
            return  # The saved layer has had no input either.
        if values is not None and values.dim() == 2 and self.has_uninitialized_params():
            self._materialize(values.shape[0])
        super()._load_from_state_dict(state_dict, prefix, *others)
