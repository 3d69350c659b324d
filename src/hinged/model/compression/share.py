"""Gives channels of a layer the same curve where their curves hardly differ."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from hinged.curve import SharedCurves, share_curves
from hinged.model.compression.common import (
    check_tolerance,
    parameter_count,
    reason_to_skip,
    sum_counts,
)
from hinged.model.observation.text_tables import format_parameter_counts, format_table
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.share"


@dataclass(frozen=True)
class LayerSharingResult:
    """What `share` did to one layer.

    Attributes:
        curves: how many different curves it had and has; one for each channel before.
        parameters: how many numbers were and are trained; fewer where one curve serves all.
        error: the largest change of a value; 0 for an unchanged layer.
        reason: why the layer was not changed, or empty.
    """

    curves: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class SharingResult:
    """What `share` did, by the name of the layer. `str` of it is a table."""

    layers: dict[str, LayerSharingResult]

    @property
    def parameters(self) -> tuple[int, int]:
        """How many numbers were and are trained in all layers."""
        return sum_counts(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = ("layer", "curves before", "after", "parameters before", "after", "error", "")
        rows = [
            (
                name or "(itself)",
                *map(str, (*layer.curves, *layer.parameters)),
                f"{layer.error:.2g}",
                layer.reason,
            )
            for name, layer in self.layers.items()
        ]
        return f"{format_table([head, *rows])}\n{format_parameter_counts(self.parameters)}"


def share(model: nn.Module, tolerance: float) -> SharingResult:
    """Give channels of a layer the same curve where theirs are within a tolerance of it.

    `hinged.curve.share_curves` finds the groups of channels, and all values of a group become
    equal. If one group takes all channels, the layer becomes one with `channels=1`, with `C` times
    fewer parameters. Otherwise it keeps one row of values for each channel, and further training
    would make the rows different again. Channels can share a curve only if they share their hinges:
    call `share` before `simplify`.

    Args:
        model: a model with curves, or one layer of them; changed in place.
        tolerance: largest absolute change over the range, in units of the layers' outputs.

    Returns:
        What was done to each layer, with the reason for unchanged ones.

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
    plans = {name: _plan_layer(layer, tolerance) for name, layer in layers.items()}
    return SharingResult({name: _share_layer(layers[name], plan) for name, plan in plans.items()})


def _plan_layer(layer: PiecewiseLinear, tolerance: float) -> SharedCurves | str:
    """Return the groups of channels, or the reason to leave the layer as it is."""
    reason = reason_to_skip(layer)
    if reason:
        return reason
    if layer.channels == 1:
        return "it has one curve"
    if layer.hinges.dim() == 2 and layer.hinges.shape[0] > 1:
        return "its channels have different hinges"
    shared = share_curves(layer.curve(), tolerance)
    if shared.curve.channels == layer.channels:
        return "no two channels are within the tolerance"
    return shared


def _share_layer(layer: PiecewiseLinear, plan: SharedCurves | str) -> LayerSharingResult:
    channels, count = layer.channels, parameter_count(layer)
    if isinstance(plan, str):
        return LayerSharingResult((channels, channels), (count, count), reason=plan)
    groups, error = plan.curve.channels, plan.error.max().item()
    layer.set_curve(plan.curve if groups == 1 else plan.expand())
    return LayerSharingResult((channels, groups), (count, parameter_count(layer)), error)
