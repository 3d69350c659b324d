"""`share`: lets similar channels of a layer use the same curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hinged.curve import Curve, SharedCurves, share_curves
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
    """How `share` changed one layer.

    Attributes:
        curves: the number of different curves, as a pair `(before, after)`. The number before is
            the number of channels.
        parameters: the number of parameters, as a pair `(before, after)`. It decreases only if
            one curve serves all channels.
        error: the largest absolute change of a curve over its range. It is 0 for an unchanged
            layer.
        error_outside: the largest absolute change of a curve at one width of its range below and
            above it. The tolerance does not limit it. On linear and free tails, the change grows in
            proportion to the distance from the range.
        reason: why the layer was not changed. Empty if it was changed.
    """

    curves: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    error_outside: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class SharingResult:
    """The result of `share`: what changed in each layer. `str` returns a table.

    Attributes:
        layers: the result for each curve layer, by the layer's name in the model.
    """

    layers: dict[str, LayerSharingResult]

    @property
    def parameters(self) -> tuple[int, int]:
        """The number of parameters in all layers, as a pair `(before, after)`."""
        return sum_counts(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = (
            *("layer", "curves before", "after", "parameters before", "after"),
            *("error", "outside", ""),
        )
        rows = [
            (
                name or "(itself)",
                *map(str, (*layer.curves, *layer.parameters)),
                f"{layer.error:.2g}",
                f"{layer.error_outside:.2g}",
                layer.reason,
            )
            for name, layer in self.layers.items()
        ]
        return f"{format_table([head, *rows])}\n{format_parameter_counts(self.parameters)}"


def share(model: nn.Module, tolerance: float) -> SharingResult:
    """Replace the curves of similar channels in a layer by one common curve.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges.

    `share` divides the channels of each layer into groups. All channels of a group get one common
    curve, which differs from each old curve by at most `tolerance`. `hinged.curve.share_curves`
    describes the method. If one group contains all `C` channels, the layer becomes a layer with one
    curve (`channels=1`), and has `C` times fewer parameters.

    If there are several groups, the layer keeps a row of values for each channel. The rows of the
    channels in one group are then equal. Further training would make these rows different again.

    Channels can share a curve only if they have the same hinges. If you also use `hinged.simplify`,
    call `share` first.

    Args:
        model: any module with `PiecewiseLinear` layers. It is changed in place.
        tolerance: the largest absolute change of a curve over its range (first to last hinge), in
            units of the outputs. Outside the range, curves may change more: the result says by how
            much.

    Returns:
        A `SharingResult`. For each layer, it says how the layer changed, or why it was left
        unchanged.

    Raises:
        ArgumentError: if `tolerance` is negative, or the model has no curves. The model is then
            unchanged.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(hinged.share(model, 0.01))
    layer  curves before  after  parameters before  after  error  outside
    1                  4      1                 36      9      0        0
    parameters: 36 before, 9 after (25%)
    """
    check_tolerance(CALL, tolerance)
    layers = curve_layers(model, CALL)
    plans = {name: _plan_layer(layer, tolerance) for name, layer in layers.items()}
    return SharingResult({name: _share_layer(layers[name], plan) for name, plan in plans.items()})


def _plan_layer(layer: PiecewiseLinear, tolerance: float) -> SharedCurves | str:
    """Return the groups of channels that share a curve, or why the layer is not changed."""
    reason = reason_to_skip(layer)
    if reason:
        return reason
    if layer.channels == 1:
        return "it has only one curve"
    if layer.hinges.dim() == 2 and layer.hinges.shape[0] > 1:
        return "its channels have different hinges"
    shared = share_curves(layer.curve(), tolerance)
    if shared.curve.channels == layer.channels:
        return "no two channels can share a curve within the tolerance"
    return shared


def _share_layer(layer: PiecewiseLinear, plan: SharedCurves | str) -> LayerSharingResult:
    channels, count = layer.channels, parameter_count(layer)
    if isinstance(plan, str):
        return LayerSharingResult((channels, channels), (count, count), reason=plan)
    groups, error = plan.curve.channels, plan.error.max().item()
    outside = _largest_change_outside(layer.curve(), plan.expand())
    layer.set_curve(plan.curve if groups == 1 else plan.expand())
    return LayerSharingResult((channels, groups), (count, parameter_count(layer)), error, outside)


@torch.no_grad()
def _largest_change_outside(before: Curve, after: Curve) -> float:
    """Return the largest change at one width of the range below and above it."""
    low, high = (end.reshape(-1, 1) for end in before.range)
    points = torch.cat((2 * low - high, 2 * high - low), dim=1).expand(before.channels, -1)
    return (after(points, dim=0) - before(points, dim=0)).abs().max().item()
