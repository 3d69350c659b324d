"""Networks whose outputs depend on single inputs in a monotone, convex or concave way.

Each input has a curve of its own, which satisfies the constraint on the input. The units of the
hidden layers are of four kinds:

- free units have only inputs without a constraint, with any weights;
- increasing units also have monotone inputs, with weights of at least 0;
- convex units have in addition the convex inputs, and concave units the concave ones, with weights
  of at least 0.

A unit receives from units of its own kind, and of kinds that come before it in this list, apart
from convex units for concave ones. Weights from other than free units are at least 0. The curves of
increasing units are increasing, those of convex units increasing and convex, and those of concave
units increasing and concave. A decreasing input has a decreasing curve. So each path from an input
to the outputs satisfies the constraint on the input, whatever the other inputs are.

Sources: Daniels and Velikova, "Monotone and partially monotone neural networks" (IEEE Transactions
on Neural Networks, 2010), for weights of at least 0; Amos et al., "Input convex neural networks"
(ICML 2017), for convex units; Runje and Shankaranarayana, "Constrained monotonic neural networks"
(ICML 2023), for absolute values as weights, and for units that start as convex and as concave ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hinged import errors
from hinged.curve import Curve
from hinged.curve.constraints.constraint import Bend
from hinged.nn import constrain
from hinged.sklearn.curve_groups import CurvesOfColumns
from hinged.sklearn.feature_shapes import FeatureShape
from hinged.sklearn.ordered_layers import OrderedCurves, OrderedLinear, WeightSigns

FREE, INCREASING, CONVEX, CONCAVE, OUTPUT = "free", "increasing", "convex", "concave", "output"

_TARGETS = {
    FREE: (FREE, INCREASING, CONVEX, CONCAVE, OUTPUT),
    INCREASING: (INCREASING, CONVEX, CONCAVE, OUTPUT),
    CONVEX: (CONVEX, OUTPUT),
    CONCAVE: (CONCAVE, OUTPUT),
}
"""The kinds of units that receive the outputs of units of each kind."""

_BENDS: dict[str, Bend | None] = {INCREASING: None, CONVEX: "convex", CONCAVE: "concave"}

_RANGE = (-3.0, 3.0)


def input_kind(shape: FeatureShape) -> str:
    """Return the kind of an input with a constraint.

    >>> input_kind(FeatureShape(monotone=-1)), input_kind(FeatureShape(monotone=1, convex=1))
    ('increasing', 'convex')
    """
    if shape.convex:
        return CONVEX if shape.convex > 0 else CONCAVE
    return INCREASING if shape.monotone else FREE


def unit_kinds(shapes: Sequence[FeatureShape], units: int) -> list[str]:
    """Return the kind of each unit of a hidden layer. All kinds of inputs have as many units.

    >>> unit_kinds([FeatureShape(), FeatureShape(monotone=1)], 4)
    ['free', 'free', 'increasing', 'increasing']
    """
    present = {input_kind(shape) for shape in shapes}
    kinds = [kind for kind in _TARGETS if kind in present]
    return [kinds[unit * len(kinds) // units] for unit in range(units)]


def check_units(call: str, shapes: Sequence[FeatureShape], sizes: Sequence[int]) -> None:
    """Raise `ArgumentError` if a hidden layer has too few units for all kinds of inputs.

    Args:
        call: the name of the estimator, for error messages.
        shapes: the constraint on each input.
        sizes: number of units of each hidden layer.
    """
    kinds = len({input_kind(shape) for shape in shapes})
    if min(sizes, default=kinds) < kinds:
        got = f"a layer of {min(sizes)} units with {kinds} kinds of columns by their constraints"
        hint = "give each hidden layer at least one unit for each kind"
        call = f"{call}(hidden_layer_sizes=...)"
        raise errors.ArgumentError(errors.message(call, got, hint))


def constrained_layers(
    shapes: Sequence[FeatureShape], sizes: Sequence[int], hinges: int
) -> list[nn.Module]:
    """Return the layers of a network after the curves of its inputs.

    Args:
        shapes: the constraint on each input.
        sizes: number of inputs, of units in each hidden layer, and of outputs.
        hinges: the number of hinges of each curve.
    """
    layers: list[nn.Module] = []
    sources = [input_kind(shape) for shape in shapes]
    for units in sizes[1:-1]:
        kinds = unit_kinds(shapes, units)
        layers += [_linear(sources, kinds), _activation(kinds, hinges)]
        sources = kinds
    return [*layers, _linear(sources, [OUTPUT] * sizes[-1])]


def _linear(sources: Sequence[str], targets: Sequence[str]) -> OrderedLinear:
    is_free = [
        [source == FREE and target in _TARGETS[FREE] for source in sources] for target in targets
    ]
    receives = [[target in _TARGETS[source] for source in sources] for target in targets]
    free, positive = torch.tensor(is_free), torch.tensor(receives)
    return OrderedLinear(WeightSigns(free, positive & ~free))


def _activation(kinds: Sequence[str], hinges: int) -> nn.Module:
    """Return the activation of a hidden layer with units of the given kinds.

    Free and convex units start as ReLU. Concave units start as `min(x, 0)`, and so does every
    second increasing unit: increasing and convex functions alone have only convex sums.

    Args:
        kinds: the kind of each unit.
        hinges: the number of hinges of each curve.
    """
    return CurvesOfColumns(kinds, lambda kind, count: _curves_of_kind(kind, count, hinges))


def _curves_of_kind(kind: str, count: int, hinges: int) -> OrderedCurves:
    layer = OrderedCurves(count, hinges, _RANGE, dim=-1)
    if kind in (INCREASING, CONCAVE):
        curve = layer.curve().snapshot(layer.values.dtype)
        values = curve.values.clone()
        values[:: 2 if kind == INCREASING else 1] = curve.hinges.clamp(max=0)
        layer.start_as(Curve(curve.hinges, values, curve.tails), 0.0)
    if kind != FREE:
        constrain(layer, monotone=True, convex=_BENDS[kind])
    return layer


class TwoClasses(nn.Module):
    """Outputs for two classes, whose difference is the logarithm of the odds of the second."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return outputs, `(rows, 2)`, for logarithms of odds, `(rows, 1)`."""
        return functional.pad(logits, (1, 0))
