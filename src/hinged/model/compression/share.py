"""Curves that the channels of a layer share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from hinged.curve import Shared, share_curves
from hinged.model.compression.common import check_tolerance, parameters, total, why_left_alone
from hinged.model.observation.text_tables import aligned, reduction
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.share"


@dataclass(frozen=True)
class LayerSharing:
    """What `share` did to one layer.

    Attributes:
        curves: how many curves it had, one for each channel, and how many different ones it has.
        parameters: how many numbers it trained and trains; fewer where one curve serves all.
        error: the largest change of a value; 0 where the layer was left alone.
        reason: why it was left alone, or empty.
    """

    curves: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Sharing:
    """What `share` did, by the name of the layer; `str` of it is a table."""

    layers: dict[str, LayerSharing]

    @property
    def parameters(self) -> tuple[int, int]:
        """How many numbers all layers trained and train."""
        return total(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = ("layer", "curves before", "after", "parameters before", "after", "error", "")
        rows = [
            (
                name or "(itself)",
                *map(str, (*done.curves, *done.parameters)),
                f"{done.error:.2g}",
                done.reason,
            )
            for name, done in self.layers.items()
        ]
        return f"{aligned([head, *rows])}\n{reduction(self.parameters)}"


def share(model: nn.Module, tolerance: float) -> Sharing:
    """Give channels of a layer the same curve where they are within a tolerance of it.

    Groups of channels are found by `hinged.curve.share_curves`, and all values of a group become
    equal. Where one group takes all channels, the layer becomes one with `channels=1`, which has
    `C` times fewer parameters; else it keeps one row for each channel, which training on would
    part again. Channels can share a curve where they share their hinges: `share` before `simplify`.

    Args:
        model: a model with curves, or one layer of them; changed in place.
        tolerance: largest absolute change over the range, in units of the layers' outputs.

    Returns:
        What was done to each layer, and why some were left alone.

    Raises:
        ArgumentError: a negative tolerance or a model without curves. Nothing has changed then.

    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(share(model, 0.01))
    layer  curves before  after  parameters before  after  error
    1                  4      1                 36      9      0
    parameters: 36 before, 9 after (25%)
    """
    check_tolerance(CALL, tolerance)
    layers = curve_layers(model, CALL)
    found = {name: _found(layer, tolerance) for name, layer in layers.items()}
    return Sharing({name: _carried_out(layers[name], each) for name, each in found.items()})


def _found(layer: PiecewiseLinear, tolerance: float) -> Shared | str:
    """Return the groups of channels, or why there are none."""
    reason = why_left_alone(layer)
    if reason:
        return reason
    if layer.channels == 1:
        return "it has one curve"
    if layer.hinges.dim() == 2 and layer.hinges.shape[0] > 1:
        return "its channels have hinges of their own"
    shared = share_curves(layer.curve(), tolerance)
    if shared.curve.channels == layer.channels:
        return "no two channels are within the tolerance"
    return shared


def _carried_out(layer: PiecewiseLinear, found: Shared | str) -> LayerSharing:
    channels, count = layer.channels, parameters(layer)
    if isinstance(found, str):
        return LayerSharing((channels, channels), (count, count), reason=found)
    groups = found.curve.channels
    layer.set_curve(found.curve if groups == 1 else found.spread())
    return LayerSharing((channels, groups), (count, parameters(layer)), found.error.max().item())
