"""`InputCurves`: one trained curve for each column of a table, before the first layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hinged.curve import Curve
from hinged.curve.constraints.constraint import Bend, Monotone
from hinged.nn import constrain
from hinged.sklearn.curve_groups import CurvesOfColumns
from hinged.sklearn.feature_shapes import FeatureShape, has_limits
from hinged.sklearn.ordered_layers import OrderedCurves
from hinged.sklearn.samples import Samples

_INNER = (0.01, 0.99)
"""The shares of the different numbers of a column that are below its first and last hinge."""

_ROWS = 10_000
"""Largest number of rows by whose quantiles the hinges are placed."""

_LEAST_WIDTH = 1e-4
"""Least distance from the first to the last hinge, relative to the numbers of the column."""

_MONOTONE: dict[int, Monotone | None] = {0: None, 1: "increasing", -1: "decreasing"}
_CONVEX: dict[int, Bend | None] = {0: None, 1: "convex", -1: "concave"}


class InputCurves(CurvesOfColumns):
    """A layer of one curve for each column of a table. A curve satisfies the constraint on its
    column.

    The curves start as the identity, as `-x` if they must fall, or as `|x|` or `-|x|` if they must
    be convex or concave but may rise and fall.

    Args:
        shapes: the constraint on each column.
        hinges: the number of hinges of each curve.
    """

    def __init__(self, shapes: Sequence[FeatureShape], hinges: int) -> None:
        super().__init__(shapes, lambda shape, count: _curves(shape, count, hinges))
        self.shapes = list(dict.fromkeys(shapes))

    def place_hinges(self, samples: Samples) -> None:
        """Place the hinges where the numbers of each column are.

        A hinge is at the mean of two positions: the quantile of the different numbers in the
        column, and the position in an even row. So hinges are dense where numbers are, and never
        too close to each other. The first and the last hinge of a bounded column are at its least
        and its largest number. A constant column has the width of the median column: with much
        closer hinges than others of the layer have, the metric of its curve cannot be inverted.

        Args:
            samples: the training rows, scaled.
        """
        count = min(len(samples), _ROWS)
        rows = torch.linspace(0, len(samples) - 1, count).long()
        inputs = samples.take(rows).inputs.cpu().double()
        ends = samples.range_of_inputs().cpu().double()
        with_ends, widths = torch.cat([inputs, ends]), ends.diff(dim=0)
        width = float(widths[widths > 0].median()) if widths.any() else 0.0
        for (layer, columns), shape in zip(self.groups(), self.shapes, strict=True):
            hinges = layer.hinges.shape[-1]
            numbers = with_ends if shape.bounded else inputs
            positions = [_positions(numbers[:, c], hinges, shape, width) for c in columns.tolist()]
            _start(layer, torch.stack(positions), shape)

    def curves(self) -> list[Curve]:
        """Return a copy of the curve of each column, in float64."""
        found: dict[int, Curve] = {}
        for layer, columns in self.groups():
            curve = layer.curve().snapshot(torch.float64)
            rows = zip(curve.hinges.expand_as(curve.values), curve.values, strict=True)
            for column, (hinges, values) in zip(columns.tolist(), rows, strict=True):
                found[column] = Curve(hinges, values[None], curve.tails)
        return [found[column] for column in sorted(found)]


def _curves(shape: FeatureShape, count: int, hinges: int) -> OrderedCurves:
    tails = "constant" if shape.bounded else "linear"
    layer = OrderedCurves(count, hinges, init="identity", dim=-1, tails=tails)
    _start(layer, layer.hinges.detach().clone(), shape)
    if has_limits([shape]):
        constrain(layer, monotone=_MONOTONE[shape.monotone], convex=_CONVEX[shape.convex])
    return layer


def _start(layer: OrderedCurves, hinges: Tensor, shape: FeatureShape) -> None:
    """Let curves start as simple functions of their hinges that satisfy the constraint."""
    hinges = hinges.to(layer.hinges)
    if shape.monotone:
        values = shape.monotone * hinges
    elif shape.convex:
        values = shape.convex * hinges.abs()
    else:
        values = hinges
    layer.start_as(Curve(hinges, values.expand_as(layer.values), layer.tails), 0.0)


def _positions(column: Tensor, hinges: int, shape: FeatureShape, usual_width: float) -> Tensor:
    """Return the positions of the hinges for the numbers of a column, `(rows,)`."""
    numbers = column.unique()
    low, high = (0.0, 1.0) if shape.bounded else _INNER
    shares = torch.linspace(low, high, hinges, dtype=torch.float64)
    quantiles = numbers.quantile(shares)
    centre, width = (quantiles[0] + quantiles[-1]) / 2, quantiles[-1] - quantiles[0]
    least = _LEAST_WIDTH * max(float(numbers.abs().max()), 1.0)
    if len(numbers) == 1:
        least = max(least, usual_width)
    even = centre + (shares - 0.5) / (high - low) * width.clamp(min=least)
    positions: Tensor = (quantiles + even) / 2
    return positions
