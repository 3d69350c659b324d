"""Curves that are a native activation are replaced by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hinged import errors
from hinged.curve import Native, native_distances, recognise
from hinged.curve.measures import with_rounding
from hinged.model.compression.common import (
    REACH,
    UNREACHED,
    check_tolerance,
    histograms,
    inputs,
    why_left_alone,
)
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.text_tables import aligned
from hinged.model.tree import replace_module
from hinged.nn import Abs, Copy, PiecewiseLinear, Zero, curve_layers

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
    """What `to_native` did to one layer.

    Attributes:
        channels: how many curves it has.
        native: how many of them are within the tolerance of a native activation.
        nearest: the native activation in its place, or else the one nearest to all channels.
        error: how far its channels are at most from that.
        replaced: whether it was replaced.
        reason: why it was left alone, or empty.
    """

    channels: int
    native: int = 0
    nearest: str = ""
    error: float = float("nan")
    replaced: bool = False
    reason: str = ""


@dataclass(frozen=True)
class NativeReplacements:
    """What `to_native` did, by the name of the layer; `str` of it is a table.

    Attributes:
        layers: by the layer's name in the model.
        measure: what the errors are: `"largest"` or, where data was given, `"rms"`.
    """

    layers: dict[str, LayerReplacement]
    measure: str

    @property
    def replaced(self) -> dict[str, str]:
        """Which native activation is in the place of each layer that was replaced."""
        return {name: done.nearest for name, done in self.layers.items() if done.replaced}

    def __str__(self) -> str:
        head = ("layer", "became", "nearest", f"{self.measure} error", "native channels", "")
        rows = [
            (
                name or "(itself)",
                done.nearest if done.replaced else "-",
                done.nearest,
                f"{done.error:.2g}",
                f"{done.native} of {done.channels}",
                done.reason,
            )
            for name, done in self.layers.items()
        ]
        return (
            f"{aligned([head, *rows])}\n{len(self.replaced)} of {len(self.layers)} layers replaced"
        )


def to_native(model: nn.Module, tolerance: float = 0.0, data: Any = None) -> NativeReplacements:
    """Put torch's own activation in the place of every layer whose curves all are one.

    Without data the *largest* difference between each channel and the native activation counts,
    over the layer's range and one width of it beyond on either side; with data the *root of the
    mean squared* difference over the inputs that reach the layer, by channel.

    The natives are `nn.ReLU`, `nn.ReLU6`, `nn.Hardtanh`, `nn.LeakyReLU`, `nn.PReLU` (a slope for
    each channel; where the channels are on axis 1, as it has no other), and three of
    `hinged.nn`: `Abs`, `Zero` and `Copy`, an identity that returns a new tensor as all
    activations do, so that the model may go on to write into it. None works in place. The new
    module takes over the training flag and the hooks, wherever the model holds the old one. Where
    only some channels are native, or the layer is held to a constraint, nothing is replaced.

    Args:
        model: a model with curves; changed in place.
        tolerance: in units of the layers' outputs; 0 means the same but for rounding.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; run over once.

    Returns:
        What became of each layer, or why not, with the nearest native and its distance.

    Raises:
        ArgumentError: a negative tolerance, a model without curves or one that is itself a layer
            of curves, or no data. Nothing has changed then.

    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(to_native(model))
    layer  became  nearest  largest error  native channels
    1        relu     relu              0           4 of 4
    1 of 1 layers replaced
    >>> model[1]
    ReLU()
    """
    check_tolerance(CALL, tolerance)
    layers = curve_layers(model, CALL)
    if isinstance(model, PiecewiseLinear):
        hint = "to_native nn.Sequential(layer), or ask hinged.curve.recognise(layer.curve(), tolerance)"
        got = "a PiecewiseLinear itself, which no model holds"
        raise errors.ArgumentError(errors.message(f"{CALL}(model)", got, hint))
    seen = histograms(model, data, CALL)
    found = {name: _planned(layer, tolerance, seen, name) for name, layer in layers.items()}
    for name, (_, module) in found.items():
        if module is not None:
            replace_module(model, layers[name], module)
    done = {name: folding for name, (folding, _) in found.items()}
    return NativeReplacements(done, "largest" if seen is None else "rms")


def _planned(
    layer: PiecewiseLinear, tolerance: float, seen: dict[str, Histogram] | None, name: str
) -> tuple[LayerReplacement, nn.Module | None]:
    """Return what is to become of a layer, and the module for its place."""
    reason = why_left_alone(layer) or (UNREACHED if seen is not None and name not in seen else "")
    if reason:
        return LayerReplacement(layer.channels, reason=reason), None
    given: dict[str, Any] = inputs(seen, name) or {"reach": REACH}
    curve = layer.curve()
    distances = native_distances(curve, **given)
    nearest = torch.stack(list(distances.values())).amin(dim=0)
    native = int((nearest <= with_rounding(curve, tolerance)).sum())
    found = recognise(curve, tolerance, **given)
    if found is None:
        largest = {name: each.max().item() for name, each in distances.items()}
        best = min(largest, key=largest.__getitem__)
        reason = _why_not(native, layer.channels)
        return LayerReplacement(layer.channels, native, best, largest[best], reason=reason), None
    error = found.error.max().item()
    if found.name == "prelu" and layer.dim != 1:
        reason = f"nn.PReLU has its channels on axis 1, this layer on axis {layer.dim}"
        return LayerReplacement(layer.channels, native, "prelu", error, reason=reason), None
    folding = LayerReplacement(layer.channels, layer.channels, found.name, error, replaced=True)
    return folding, _module(found, layer)


def _why_not(native: int, channels: int) -> str:
    if native == channels:
        return "its channels are different natives"
    return f"{'no channel is' if native == 0 else 'only some channels are'} native"


def _module(native: Native, layer: PiecewiseLinear) -> nn.Module:
    if native.name in _MODULES:
        return _MODULES[native.name]()
    if native.name == "leaky_relu":
        return nn.LeakyReLU(native.slopes[0].item())
    prelu = nn.PReLU(layer.channels, device=layer.values.device, dtype=layer.values.dtype)
    prelu.weight = nn.Parameter(native.slopes.to(layer.values), layer.values.requires_grad)
    return prelu
