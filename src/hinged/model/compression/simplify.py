"""`simplify`: reduces the number of hinges of the curves of a model."""

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
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.text_tables import format_parameter_counts, format_table
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.simplify"


@dataclass(frozen=True)
class LayerSimplification:
    """How `simplify` changed one layer.

    Attributes:
        hinges: the number of hinges of each curve, as a pair `(before, after)`.
        parameters: the number of parameters, as a pair `(before, after)`.
        error: the error of the channel with the largest error. `Simplification.measure` says which
            kind of error. It is 0 for an unchanged layer.
        reason: why the layer was not changed. Empty if it was changed.
    """

    hinges: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Simplification:
    """The result of `simplify`: what changed in each layer. `str` returns a table.

    Attributes:
        layers: the result for each curve layer, by the layer's name in the model.
        measure: the kind of all errors: `"largest"` for the largest absolute change of the output,
            `"rms"` for the root mean square of the change over the inputs (if data was given).
    """

    layers: dict[str, LayerSimplification]
    measure: str

    @property
    def parameters(self) -> tuple[int, int]:
        """The number of parameters in all layers, as a pair `(before, after)`."""
        return sum_counts(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = ("layer", "hinges before", "after", f"{self.measure} error", "")
        rows = [
            (name or "(itself)", *map(str, layer.hinges), f"{layer.error:.2g}", layer.reason)
            for name, layer in self.layers.items()
        ]
        return f"{format_table([head, *rows])}\n{format_parameter_counts(self.parameters)}"


def simplify(
    model: nn.Module,
    tolerance: float,
    data: Any = None,
    *,
    call: CallModel | None = None,
    batches: int | None = None,
) -> Simplification:
    """Remove as many hinges from the curves of a model as an error tolerance allows.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges. The remaining hinges are the smallest subset of
    the old hinges with an error of at most `tolerance`. (`docs/design/algorithms.md` describes the
    search and its limits.) All curves of a layer keep the same number of hinges, which is the
    largest number that any channel needs.

    The kind of error depends on `data`:

    - Without data, the error is the *largest absolute* change of each channel's output. With linear
      tails, only inputs up to a certain distance outside the first and last hinge count. This
      distance is the distance from the first to the last hinge. With constant or free tails, all
      inputs count.
    - With data, the error is the *root mean square* of the change over the inputs of each channel.

    The layers remain the same modules, with their hooks. A layer that loses hinges gets new
    parameters, with the `requires_grad` of the old ones. Create a new optimizer before you continue
    the training. A layer with a constraint is not changed, because its simplified curves might
    violate the constraint.

    Args:
        model: any module with `PiecewiseLinear` layers. It is changed in place.
        tolerance: the largest allowed error, in units of the outputs of the layers. 0 removes only
            hinges at which a curve does not bend, up to rounding.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes. The
            model runs over it once. None selects the
            largest absolute change.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `Simplification`. For each layer, it says how the layer changed, or why it was left
        unchanged.

    Raises:
        ArgumentError: if `tolerance` is negative, the model has no curves, or `data` has no
            batches. The model is then unchanged.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(hinged.simplify(model, 1e-3))
    layer  hinges before  after  largest error
    1                  9      3              0
    parameters: 36 before, 12 after (33%)
    """
    check_tolerance(CALL, tolerance)
    given = None if data is None else Batches(data, CALL, call, batches)
    layers = curve_layers(model, CALL)
    histograms = input_histograms(model, given)
    plans = {name: _plan_layer(each, tolerance, histograms, name) for name, each in layers.items()}
    results = {name: _simplify_layer(layers[name], plan) for name, plan in plans.items()}
    return Simplification(results, "largest" if histograms is None else "rms")


@dataclass(frozen=True, eq=False)
class _Plan:
    """The planned change of one layer.

    Attributes:
        curve: the new curves of all channels, or None if the layer is not changed.
        error: the error of the channel with the largest error.
        reason: why the layer is not changed, or an empty string.
    """

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
    """Return the root mean square difference of two curves over the inputs, shape `(C,)`.

    `positions` are inputs of each of the `C` channels, shape `(C, B)`. `shares` are the weights of
    these inputs, of the same shape.
    """
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
