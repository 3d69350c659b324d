"""Moves the hinges of curves to where their inputs are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged.model.hinges.move_layer import LayerCalibration, Target, move_layer
from hinged.model.observation.layer_statistics import Collector, InputStatistics, merged
from hinged.model.observation.run_model import run
from hinged.model.observation.text_tables import aligned
from hinged.nn import PiecewiseLinear, curve_layers
from hinged.nn.parameter_groups import exchange

CALL = "hinged.calibrate"
Optimizers = Optimizer | Iterable[Optimizer]


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did, by the name of the layer; `str` of it is a table.

    Attributes:
        layers: what became of each layer.
        stale: names of the layers with new parameters, which no optimiser given has taken over.
    """

    layers: dict[str, LayerCalibration]
    stale: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = ("layer", "range before", "range after", "outside before", "rms", "largest", "")
        lines = [aligned([head, *(_cells(name, moved) for name, moved in self.layers.items())])]
        if self.stale:
            names = ", ".join(self.stale)
            lines.append(f"New parameters in {names}: make optimisers anew, or give optimizers=.")
        return "\n".join(lines)


def calibrate(
    model: nn.Module,
    data: Any,
    spread: float = 3.0,
    *,
    coverage: float | None = None,
    placement: str = "uniform",
    hinges: int | None = None,
    per_channel: bool | None = None,
    optimizers: Optimizers | None = None,
) -> Calibration:
    """Move the hinges of every curve to where its inputs are, and keep the function.

    The range becomes the inputs' mean +- `spread` standard deviations, or the middle `coverage` of
    them. The inputs of all channels of a layer count together where they share their hinges. Kinks
    stay on hinges and the values are the least-squares fit of the old curve for the inputs seen: a
    ReLU and whatever else the new hinges can hold stays what it was, and how much others changed is
    reported. Values are written into the parameters that are there, so that optimisers keep them,
    unless their number changes: curves get new parameters then.

    Where `torch.distributed` is initialised, every process must call it, each with data of its own;
    all get the hinges for the data of all. A wrapper such as DistributedDataParallel must be made
    anew after the number of hinges has changed.

    Args:
        model: any module with `PiecewiseLinear` layers; it is changed in place.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; run over once.
        spread: half the new range, in standard deviations.
        coverage: the share of the inputs that the range is to hold, as many left out on either
            side; instead of `spread`, for inputs with long tails.
        placement: `"uniform"` spaces the hinges evenly, which is fastest; `"quantile"` puts equal
            shares of the inputs between them; `"search"` finds those that change the curve least,
            never more than the other two (see `hinged.curve.place_hinges`): where a trained curve bends
            already, between ends that move. It takes about ten times as long.
        hinges: how many hinges each curve is to have; as many as it has by default. More leave the
            function what it was; fewer change it by what is reported.
        per_channel: give each channel hinges of its own (True), or all a common row (False); by
            default each layer keeps the form it has.
        optimizers: one or several that are to train the new parameters in place of the old, whose
            state is dropped.

    Returns:
        What was done to each layer, and why some were left alone.

    Raises:
        ArgumentError: a spread that is not positive, a coverage not between 0 and 1, fewer than two
            hinges, a model without curves, or no data.
        UnknownNameError: an unknown placement.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 8), PiecewiseLinear(8), nn.Linear(8, 1))
    >>> x = 100 * torch.randn(64, 2)
    >>> done = calibrate(model, x)
    >>> done.layers["1"].outside_before > 0.5, done.layers["1"].error
    (True, 0.0)
    >>> optimiser = torch.optim.Adam(model.parameters())
    >>> done = calibrate(model, x, coverage=0.99, hinges=17, optimizers=optimiser)
    >>> done.layers["1"].added, done.layers["1"].error, done.stale
    (8, 0.0, ())
    """
    target = Target(CALL, spread, coverage, placement, hinges, per_channel)
    layers = curve_layers(model, CALL)
    with Collector(layers, InputStatistics.of) as collector:
        run(model, data, CALL)
    return apply(layers, merged(layers, collector.seen, InputStatistics.of), target, optimizers)


def apply(
    layers: Mapping[str, PiecewiseLinear],
    seen: Mapping[str, InputStatistics],
    target: Target,
    optimizers: Optimizers | None,
) -> Calibration:
    """Move the hinges of layers to what they have seen, and mend the optimisers."""
    old = {name: list(layer.parameters()) for name, layer in layers.items()}
    moved = {name: move_layer(layer, seen.get(name), target) for name, layer in layers.items()}
    pairs = {
        before: after
        for name, layer in layers.items()
        for before, after in zip(old[name], layer.parameters(), strict=True)
        if before is not after
    }
    if optimizers is not None:
        exchange(optimizers, pairs)
        return Calibration(moved)
    return Calibration(moved, tuple(name for name, each in moved.items() if each.added))


def _cells(name: str, moved: LayerCalibration) -> tuple[str, ...]:
    ranges = (f"{low:.3g} to {high:.3g}" for low, high in (moved.before, moved.after))
    figures = (f"{moved.outside_before:.1%}", f"{moved.rms:.2g}", f"{moved.error:.2g}")
    counts = f"{moved.added:+d} hinges" if moved.added else ""
    return (name, *ranges, *figures, moved.reason or counts)
