"""Reduces the number of hinges of a model's curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hinged import curve as mathematics
from hinged.curve import Curve
from hinged.model.compression.common import (
    BOUNDED_TAIL_WIDTHS,
    check_tolerance,
    input_distribution,
    input_histograms,
    parameter_count,
    reason_to_skip,
    reason_without_inputs,
    sum_counts,
)
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.text_tables import format_parameter_counts, format_table
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.simplify"


@dataclass(frozen=True)
class LayerSimplification:
    """What `simplify` did to one layer.

    Attributes:
        hinges: how many hinges it had and has.
        parameters: how many numbers were and are trained.
        error: the largest error over its channels; 0 for an unchanged layer.
        reason: why the layer was not changed, or empty.
    """

    hinges: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Simplification:
    """What `simplify` did, by the name of the layer. `str` of it is a table.

    Attributes:
        layers: by the layer's name in the model.
        measure: the kind of the errors: `"largest"`, or `"rms"` if data was given.
    """

    layers: dict[str, LayerSimplification]
    measure: str

    @property
    def parameters(self) -> tuple[int, int]:
        """How many numbers were and are trained in all layers."""
        return sum_counts(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = ("layer", "hinges before", "after", f"{self.measure} error", "")
        rows = [
            (name or "(itself)", *map(str, layer.hinges), f"{layer.error:.2g}", layer.reason)
            for name, layer in self.layers.items()
        ]
        return f"{format_table([head, *rows])}\n{format_parameter_counts(self.parameters)}"


def simplify(model: nn.Module, tolerance: float, data: Any = None) -> Simplification:
    """Give every layer of curves the fewest hinges that keep its output within a tolerance.

    Without data, the *largest* change of each channel's output is bounded. The bound holds over the
    layer's range and one width of it on either side (everywhere, unless the tails are linear). With
    data, the *root of the mean squared* change over the inputs of each channel is bounded. In both
    cases the new hinges are some of the old ones, and no smaller selection stays within the bound
    (`docs/design/algorithms.md` says what the search does not try). A layer gets as many hinges as
    its most demanding channel needs. If all channels need the same hinges, they share one row.

    Layers remain the same modules, with their hooks. Layers that lose hinges get new parameters
    (frozen if the old ones were), so make a new optimiser before you train on. Layers with a
    constraint are not changed, since simpler curves might violate it.

    Args:
        model: a model with curves, or one layer of them; changed in place.
        tolerance: in units of the layers' outputs. 0 drops only hinges without a bend, up to
            rounding.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; run over once.

    Returns:
        What was done to each layer, with the reason for unchanged ones.

    Raises:
        ArgumentError: a negative tolerance, a model without curves, or empty data. Nothing has
            changed then.

    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(simplify(model, 1e-3))
    layer  hinges before  after  largest error
    1                  9      3              0
    parameters: 36 before, 12 after (33%)
    """
    check_tolerance(CALL, tolerance)
    layers = curve_layers(model, CALL)
    histograms = input_histograms(model, data, CALL)
    plans = {name: _plan_layer(each, tolerance, histograms, name) for name, each in layers.items()}
    results = {name: _simplify_layer(layers[name], plan) for name, plan in plans.items()}
    return Simplification(results, "largest" if histograms is None else "rms")


@dataclass(frozen=True, eq=False)
class _Plan:
    """The new curve of a layer and its error, or the reason to leave the layer as it is."""

    curve: Curve | None
    error: float = 0.0
    reason: str = ""


def _plan_layer(
    layer: PiecewiseLinear, tolerance: float, histograms: dict[str, Histogram] | None, name: str
) -> _Plan:
    reason = reason_to_skip(layer) or reason_without_inputs(histograms, name)
    if reason:
        return _Plan(None, reason=reason)
    inputs = input_distribution(histograms, name)
    reach = 0.0 if inputs else BOUNDED_TAIL_WIDTHS
    before = layer.curve()
    simplified = mathematics.simplify(before, tolerance, reach=reach, **inputs)
    after = simplified.with_common_hinges()
    if after.values.shape[1] == before.values.shape[1]:
        return _Plan(None, reason="it needs all its hinges")
    error = _rms_difference(before, after, **inputs) if inputs else simplified.error
    return _Plan(after, error.max().item())


def _rms_difference(before: Curve, after: Curve, positions: Tensor, shares: Tensor) -> Tensor:
    """Return the root of the mean squared difference of each channel, `(C,)`."""
    with torch.no_grad():
        difference = (before(positions.T) - after(positions.T)).T
        return (shares * difference.square()).sum(dim=1).sqrt()


def _simplify_layer(layer: PiecewiseLinear, plan: _Plan) -> LayerSimplification:
    hinges, count = layer.hinges.shape[-1], parameter_count(layer)
    if plan.curve is not None:
        layer.set_curve(plan.curve)
    return LayerSimplification(
        (hinges, layer.hinges.shape[-1]), (count, parameter_count(layer)), plan.error, plan.reason
    )
