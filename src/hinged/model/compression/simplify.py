"""Fewer hinges for the curves of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hinged import curve as mathematics
from hinged.curve import Curve
from hinged.model.compression.common import (
    REACH,
    UNREACHED,
    check_tolerance,
    histograms,
    inputs,
    parameters,
    total,
    why_left_alone,
)
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.text_tables import aligned, reduction
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.simplify"


@dataclass(frozen=True)
class LayerSimplification:
    """What `simplify` did to one layer.

    Attributes:
        hinges: how many hinges it had and has.
        parameters: how many numbers it trained and trains.
        error: how far its channels are at most from what they were; 0 where it was left alone.
        reason: why it was left alone, or empty.
    """

    hinges: tuple[int, int]
    parameters: tuple[int, int]
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Simplification:
    """What `simplify` did, by the name of the layer; `str` of it is a table.

    Attributes:
        layers: by the layer's name in the model.
        measure: what the errors are: `"largest"` or, where data was given, `"rms"`.
    """

    layers: dict[str, LayerSimplification]
    measure: str

    @property
    def parameters(self) -> tuple[int, int]:
        """How many numbers all layers trained and train."""
        return total(layer.parameters for layer in self.layers.values())

    def __str__(self) -> str:
        head = ("layer", "hinges before", "after", f"{self.measure} error", "")
        rows = [
            (name or "(itself)", *map(str, done.hinges), f"{done.error:.2g}", done.reason)
            for name, done in self.layers.items()
        ]
        return f"{aligned([head, *rows])}\n{reduction(self.parameters)}"


def simplify(model: nn.Module, tolerance: float, data: Any = None) -> Simplification:
    """Give every layer of curves the fewest hinges that keep its output within a tolerance.

    Without data the *largest* change of each channel's output is bounded, over the layer's range
    and one width of it beyond on either side (everywhere, unless the tails are linear). With data
    it is the *root of the mean squared* change over the inputs that reach the layer, by channel.
    Either way the count is the least for hinges chosen from the layer's own (`docs/design.md` says
    what else is fixed); a layer has as many as its most demanding channel needs, in common where
    they are the same for all and by channel where not.

    The layers stay the same modules, with their hooks; those that lose hinges get new parameters
    (frozen or not as before), so make an optimiser anew to train on. The others stay as they are:
    among them those held to a constraint, which the simpler curve might break.

    Args:
        model: a model with curves, or one layer of them; changed in place.
        tolerance: in units of the layers' outputs; 0 drops what bends nothing but for rounding.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; run over once.

    Returns:
        What was done to each layer, and why some were left alone.

    Raises:
        ArgumentError: a negative tolerance, a model without curves, or no data. Nothing has
            changed then.

    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> print(simplify(model, 1e-3))
    layer  hinges before  after  largest error
    1                  9      3              0
    parameters: 36 before, 12 after (33%)
    """
    check_tolerance(CALL, tolerance)
    layers = curve_layers(model, CALL)
    seen = histograms(model, data, CALL)
    found = {name: _planned(layer, tolerance, seen, name) for name, layer in layers.items()}
    done = {name: _carried_out(layers[name], plan) for name, plan in found.items()}
    return Simplification(done, "largest" if seen is None else "rms")


@dataclass(frozen=True, eq=False)
class _Plan:
    curve: Curve | None
    error: float = 0.0
    reason: str = ""


def _planned(
    layer: PiecewiseLinear, tolerance: float, seen: dict[str, Histogram] | None, name: str
) -> _Plan:
    reason = why_left_alone(layer) or (UNREACHED if seen is not None and name not in seen else "")
    if reason:
        return _Plan(None, reason=reason)
    given = inputs(seen, name)
    reach = 0.0 if given else REACH
    before = layer.curve()
    found = mathematics.simplify(before, tolerance, reach=reach, **given)
    after = found.in_a_row()
    if after.values.shape[1] == before.values.shape[1]:
        return _Plan(None, reason="it needs all its hinges")
    error = _rms(before, after, **given) if given else found.error
    return _Plan(after, error.max().item())


def _rms(before: Curve, after: Curve, positions: Tensor, shares: Tensor) -> Tensor:
    """Return the root of the mean squared difference of each channel, `(C,)`."""
    with torch.no_grad():
        miss = (before(positions.T) - after(positions.T)).T
        return (shares * miss.square()).sum(dim=1).sqrt()


def _carried_out(layer: PiecewiseLinear, plan: _Plan) -> LayerSimplification:
    hinges, count = layer.hinges.shape[-1], parameters(layer)
    if plan.curve is not None:
        layer.set_curve(plan.curve)
    return LayerSimplification(
        (hinges, layer.hinges.shape[-1]), (count, parameters(layer)), plan.error, plan.reason
    )
