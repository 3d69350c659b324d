"""`calibrate`: moves the hinges of curves to the range of their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged.model.calibration.calibrate_layer import (
    CalibrationSettings,
    LayerCalibration,
    calibrate_layer,
)
from hinged.model.observation.layer_statistics import (
    InputStatistics,
    StatisticsCollector,
    merge_layers_across_processes,
)
from hinged.model.observation.run_model import run_model
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, curve_layers
from hinged.nn.parameter_groups import replace_parameters

CALL = "hinged.calibrate"
Optimizers = Optimizer | Iterable[Optimizer]


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did to each layer; `str` gives a table.

    Attributes:
        layers: the result for each layer, by name.
        stale: names of the layers that have new parameters which no given optimiser trains yet.
    """

    layers: dict[str, LayerCalibration]
    stale: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = ("layer", "range before", "range after", "outside before", "rms", "largest", "")
        lines = [
            format_table([head, *(_cells(name, layer) for name, layer in self.layers.items())])
        ]
        if self.stale:
            names = ", ".join(self.stale)
            lines.append(f"New parameters in {names}: make new optimisers, or pass optimizers=.")
        return "\n".join(lines)


def calibrate(
    model: nn.Module,
    data: Any,
    spread: float = 3.0,
    *,
    coverage: float | None = None,
    placement: str = "uniform",
    hinges: int | None = None,
    sharing: str | None = None,
    optimizers: Optimizers | None = None,
) -> Calibration:
    """Move the hinges of every curve to the range of its inputs, and keep its function.

    The new range is the inputs' mean +- `spread` standard deviations, or the middle `coverage` of
    the inputs. Where channels share one row of hinges, the inputs of all channels count together.
    Kinks stay on hinges. The values are the least-squares fit to the old curve over the observed
    inputs. A ReLU, and every other function that the new hinges can represent, stays the same; the
    change of other curves is reported. The values are written into the existing parameters, so
    optimisers continue to train them; if the number of hinges changes, curves get new parameters.

    If `torch.distributed` is initialised, every process must call it, each with its own data. All
    processes get the same hinges, computed from all data. After the number of hinges has changed,
    create wrappers such as DistributedDataParallel again.

    Args:
        model: any module with `PiecewiseLinear` layers; it is changed in place.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; the model runs over it
            once.
        spread: half the new range, in standard deviations.
        coverage: the share of the inputs inside the range, with equal shares outside on both
            sides; use it instead of `spread` for inputs with long tails.
        placement: `"uniform"` spaces the hinges evenly, which is fastest. `"quantile"` puts equal
            shares of the inputs between them. `"search"` changes the curve least, and never more
            than the other two (see `hinged.curve.place_hinges`): it prefers positions where a
            trained curve already bends, between new end points. It takes about ten times as long.
        hinges: number of hinges of each curve; unchanged by default. More hinges keep the function
            the same; fewer change it by the reported error.
        sharing: `"channel"` gives each channel its own row of hinges, `"layer"` gives all channels
            of a layer one row; by default each layer stays as it is.
        optimizers: one or several optimisers that should train the new parameters instead of the
            old ones; the state of the old parameters is dropped.

    Returns:
        What was done to each layer, and why some layers were left unchanged.

    Raises:
        ArgumentError: a spread that is not positive, a coverage not between 0 and 1, fewer than two
            hinges, a model without curves, or no data.
        UnknownNameError: an unknown placement or sharing.

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
    settings = CalibrationSettings(CALL, spread, coverage, placement, hinges, sharing)
    layers = curve_layers(model, CALL)
    with StatisticsCollector(layers, InputStatistics.of) as collector:
        run_model(model, data, CALL)
    statistics = merge_layers_across_processes(layers, collector.statistics, InputStatistics.of)
    return calibrate_layers(layers, statistics, settings, optimizers)


def calibrate_layers(
    layers: Mapping[str, PiecewiseLinear],
    statistics: Mapping[str, InputStatistics],
    settings: CalibrationSettings,
    optimizers: Optimizers | None,
) -> Calibration:
    """Calibrate layers from the statistics of their inputs, and update the optimisers."""
    old = {name: list(layer.parameters()) for name, layer in layers.items()}
    results = {
        name: calibrate_layer(layer, statistics.get(name), settings)
        for name, layer in layers.items()
    }
    replacements = {
        before: after
        for name, layer in layers.items()
        for before, after in zip(old[name], layer.parameters(), strict=True)
        if before is not after
    }
    if optimizers is not None:
        replace_parameters(optimizers, replacements)
        return Calibration(results)
    return Calibration(results, tuple(name for name, each in results.items() if each.added))


def _cells(name: str, result: LayerCalibration) -> tuple[str, ...]:
    ranges = (f"{low:.3g} to {high:.3g}" for low, high in (result.before, result.after))
    figures = (f"{result.outside_before:.1%}", f"{result.rms:.2g}", f"{result.error:.2g}")
    added = f"{result.added:+d} hinges" if result.added else ""
    return (name, *ranges, *figures, result.reason or added)
