"""`to_native`: replaces curve layers by native activations of torch with the same function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hinged import errors
from hinged.curve import NativeActivation, distances_to_native, recognise_native
from hinged.curve.measures import with_rounding
from hinged.model.compression.common import (
    BOUNDED_TAIL_WIDTHS,
    check_tolerance,
    input_distribution,
    input_histograms,
    reason_to_skip,
    reason_without_inputs,
)
from hinged.model.module_tree import replace_module
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.text_tables import format_table
from hinged.nn import Abs, Copy, PiecewiseLinear, Zero, curve_layers
from hinged.nn.find_layers import channel_axes

CALL = "hinged.to_native"

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "zero": Zero,
    "identity": Copy,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "abs": Abs,
}


@dataclass(frozen=True)
class LayerReplacement:
    """What `to_native` found for one layer, and whether it replaced the layer.

    A channel is called native if the error between its curve and some native activation is at most
    the tolerance.

    Attributes:
        channels: the number of channels of the layer.
        native: the number of native channels.
        nearest: the name of the native activation that replaced the layer. If the layer was not
            replaced, the activation that is closest to all channels.
        error: the error between the curves and `nearest`, for the channel with the largest error.
            NaN if it was not computed.
        replaced: whether the layer was replaced.
        reason: why the layer was not replaced. Empty if it was replaced.
    """

    channels: int
    native: int = 0
    nearest: str = ""
    error: float = float("nan")
    replaced: bool = False
    reason: str = ""


@dataclass(frozen=True)
class NativeReplacements:
    """The result of `to_native` for each layer. `str` returns a table.

    Attributes:
        layers: the result for each curve layer, by the layer's name in the model.
        measure: the kind of all errors: `"largest"` for the largest absolute difference, `"rms"`
            for the root mean square of the difference over the inputs (if data was given).
    """

    layers: dict[str, LayerReplacement]
    measure: str

    @property
    def replaced(self) -> dict[str, str]:
        """The names of the native activations that replaced layers, by the layer's name."""
        return {name: layer.nearest for name, layer in self.layers.items() if layer.replaced}

    def __str__(self) -> str:
        head = ("layer", "became", "nearest", f"{self.measure} error", "native channels", "")
        rows = [
            (
                name or "(itself)",
                layer.nearest if layer.replaced else "-",
                layer.nearest,
                f"{layer.error:.2g}",
                f"{layer.native} of {layer.channels}",
                layer.reason,
            )
            for name, layer in self.layers.items()
        ]
        table = format_table([head, *rows])
        return f"{table}\n{len(self.replaced)} of {len(self.layers)} layers replaced"


def to_native(
    model: nn.Module,
    tolerance: float = 0.0,
    data: Any = None,
    *,
    call: CallModel | None = None,
    batches: int | None = None,
) -> NativeReplacements:
    """Replace every curve layer that computes the same function as a native activation of torch.

    A curve layer is a `PiecewiseLinear`. It has a piecewise-linear function, called a curve, for
    each channel. A layer is replaced if the error of every curve is at most `tolerance`. The error
    depends on `data`:

    - Without data, the error is the *largest absolute* difference between the curve and the
      activation. Only inputs up to a certain distance outside the first and last hinge count. This
      distance is the distance from the first to the last hinge.
    - With data, the error is the *root mean square* of the difference over the inputs of each
      channel.

    The native activations are `nn.ReLU`, `nn.ReLU6`, `nn.Hardtanh`, `nn.LeakyReLU`, `nn.PReLU`, and
    three modules of `hinged.nn`: `Abs` (absolute value), `Zero` and `Copy` (the identity, returned
    as a new tensor). `nn.PReLU` has a slope for each channel and requires the channels on axis 1.
    None of the new modules works in place.

    The new module receives the training flag and the hooks of the layer, and replaces it in all its
    parents. A layer is not replaced if it has a constraint.

    Args:
        model: any module that contains `PiecewiseLinear` layers. It is changed in place.
        tolerance: the largest allowed error, in units of the outputs of the layers. 0 means that
            both functions are equal up to rounding.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes. The
            model runs over it once. None selects the
            largest absolute difference.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `NativeReplacements`. For each layer, it has the closest native activation, the error, and
        the reason if the layer was not replaced.

    Raises:
        ArgumentError: if `tolerance` is negative, the model has no curves or is itself a
            `PiecewiseLinear`, or `data` has no batches. The model is then unchanged.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(hinged.to_native(model))
    layer  became  nearest  largest error  native channels
    1        relu     relu              0           4 of 4
    1 of 1 layers replaced
    >>> model[1]
    ReLU()
    """
    check_tolerance(CALL, tolerance)
    given = None if data is None else Batches(data, CALL, call, batches)
    layers = curve_layers(model, CALL)
    if isinstance(model, PiecewiseLinear):
        got = "a PiecewiseLinear without a parent, which cannot be replaced in place"
        hint = (
            "wrap it in nn.Sequential, or use the result of "
            "hinged.curve.recognise_native(layer.curve(), tolerance)"
        )
        raise errors.ArgumentError(errors.message(f"{CALL}(model)", got, hint))
    histograms = input_histograms(model, given)
    axes = {name: each.dim for name, each in layers.items()} | channel_axes(model)
    plans = {
        name: _plan_layer(each, tolerance, histograms, name, axes[name])
        for name, each in layers.items()
    }
    for name, (_, module) in plans.items():
        if module is not None:
            replace_module(model, layers[name], module)
    results = {name: result for name, (result, _) in plans.items()}
    return NativeReplacements(results, "largest" if histograms is None else "rms")


def _plan_layer(
    layer: PiecewiseLinear,
    tolerance: float,
    histograms: dict[str, Histogram] | None,
    name: str,
    axis: int | None,
) -> tuple[LayerReplacement, nn.Module | None]:
    """Return a pair: the result for a layer, and the native module that replaces the layer.

    The native module is None if the layer is not replaced.
    """
    channels = layer.channels
    reason = reason_to_skip(layer) or reason_without_inputs(histograms, name)
    if reason:
        return LayerReplacement(channels, reason=reason), None
    bounds: dict[str, Any] = input_distribution(histograms, name) or {"reach": BOUNDED_TAIL_WIDTHS}
    curve = layer.curve()
    distances = distances_to_native(curve, **bounds)
    smallest = torch.stack(list(distances.values())).amin(dim=0)
    native = int((smallest <= with_rounding(curve, tolerance)).sum())
    found = recognise_native(curve, tolerance, **bounds)
    if found is None:
        errors_of = {name: each.max().item() for name, each in distances.items()}
        nearest = min(errors_of, key=errors_of.__getitem__)
        reason = _reason_not_native(native, channels)
        return LayerReplacement(channels, native, nearest, errors_of[nearest], reason=reason), None
    error = found.error.max().item()
    if found.name == "prelu" and axis != 1:
        reason = f"nn.PReLU needs its channels on axis 1, but this layer has axis {axis}"
        return LayerReplacement(channels, native, "prelu", error, reason=reason), None
    result = LayerReplacement(channels, channels, found.name, error, replaced=True)
    return result, _native_module(found, layer)


def _reason_not_native(native: int, channels: int) -> str:
    if native == channels:
        return "its channels are different native activations"
    return f"{'no channel is' if native == 0 else 'only some channels are'} native"


def _native_module(native: NativeActivation, layer: PiecewiseLinear) -> nn.Module:
    if native.name in _MODULES:
        return _MODULES[native.name]()
    if native.name == "leaky_relu":
        return nn.LeakyReLU(native.slopes[0].item())
    prelu = nn.PReLU(layer.channels, device=layer.values.device, dtype=layer.values.dtype)
    prelu.weight = nn.Parameter(native.slopes.to(layer.values), layer.values.requires_grad)
    return prelu
