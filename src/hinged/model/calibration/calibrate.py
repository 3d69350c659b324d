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
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.layer_statistics import (
    InputStatistics,
    StatisticsCollector,
    merge_layers_across_processes,
)
from hinged.model.observation.run_model import run_model
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, curve_layers
from hinged.nn.optimizers_argument import check_optimizers
from hinged.nn.parameter_groups import replace_parameters

CALL = "hinged.calibrate"
Optimizers = Optimizer | Iterable[Optimizer]


@dataclass(frozen=True)
class Calibration:
    """The result of `calibrate`: what changed in each layer. `str` returns a table.

    Attributes:
        layers: the result for each curve layer, by the layer's name in the model.
        stale: names of the layers that got new parameters although you passed no `optimizers`.
            Your optimizers still hold the old parameters of these layers.
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
            lines.append(
                f"The parameters of {names} are new: create new optimizers, or pass the old ones "
                "as optimizers=..."
            )
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
    call: CallModel | None = None,
    batches: int | None = None,
) -> Calibration:
    """Move the hinges of every curve to the range of its inputs, and keep the curve's function.

    A curve is the piecewise-linear function of a `PiecewiseLinear` layer. Its range reaches from
    the first to the last hinge. The model runs over `data` once, without gradients. The new range
    is then the mean +- `spread` standard deviations of the inputs. With `coverage`, the range is
    the interval that holds the middle fraction `coverage` of the inputs. If all channels of a layer
    share their hinges, the statistics are taken over the inputs of all channels together.

    The values of the curve at the new hinges are a least-squares fit to the old curve over the
    observed inputs. A ReLU is kept exactly, because its kink becomes a hinge again. Every other
    function that the new hinges can represent is kept exactly too. For other curves, the result
    reports the change.

    The values are written into the existing parameters, so your optimizers continue to train them.
    If the number of hinges changes, the layer gets new parameters.

    If `torch.distributed` is initialised, every process must call `calibrate`, each with its part
    of the data. All processes then get the same hinges. If the number of hinges has changed, create
    wrappers such as DistributedDataParallel again.

    Args:
        model: any module with `PiecewiseLinear` layers. It is changed in place.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes.
        spread: half the width of the new range, in standard deviations of the inputs.
        coverage: the fraction of the inputs inside the new range, above 0 and up to 1. Equal
            fractions lie outside on both sides. If it is given, `spread` is ignored. Use it for
            inputs with long tails.
        placement: `"uniform"` spaces the hinges evenly, and is fastest to evaluate. `"quantile"`
            puts equal fractions of the inputs between neighbouring hinges. `"search"` changes the
            curve least: it prefers positions where the curve already bends, and takes about ten
            times as long. `hinged.curve.place_hinges` describes the three methods.
        hinges: the new number of hinges of each curve. None keeps the number. With more hinges the
            function stays the same. With fewer hinges it changes by the reported error.
        sharing: `"channel"` for separate hinges in each channel, `"layer"` for the same hinges in
            all channels of a layer. None keeps the present sharing of each layer.
        optimizers: one or several optimizers in which new parameters replace the old ones. The
            optimizer state of the replaced parameters is dropped. None leaves all optimizers as
            they are.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `Calibration`. For each layer, it says how the layer changed, or why it was left
        unchanged.

    Raises:
        ArgumentError: if `spread` is not positive, `coverage` is not above 0 and at most 1, or
            `hinges` is below 2; if the model has no curves; or if `data` has no batches.
        UnknownNameError: if `placement` or `sharing` is not one of the names above.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> x = 100 * torch.randn(64, 2)
    >>> done = hinged.calibrate(model, x)
    >>> done.layers["1"].outside_before > 0.5, done.layers["1"].error
    (True, 0.0)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> done = hinged.calibrate(model, x, coverage=0.99, hinges=17, optimizers=optimizer)
    >>> done.layers["1"].added, done.layers["1"].error, done.stale
    (8, 0.0, ())
    """
    settings = CalibrationSettings(CALL, spread, coverage, placement, hinges, sharing)
    given = Batches(data, CALL, call, batches)
    used = None if optimizers is None else check_optimizers(optimizers, CALL)
    layers = curve_layers(model, CALL)
    with StatisticsCollector(layers, InputStatistics.of) as collector:
        run_model(model, given)
    statistics = merge_layers_across_processes(layers, collector.statistics, InputStatistics.of)
    return calibrate_layers(layers, statistics, settings, used)


def calibrate_layers(
    layers: Mapping[str, PiecewiseLinear],
    statistics: Mapping[str, InputStatistics],
    settings: CalibrationSettings,
    optimizers: Optimizers | None,
) -> Calibration:
    """Move the hinges of the given layers, update the optimizers, and return a `Calibration`.

    `statistics` holds the observed inputs of each layer, by the layer's name.
    """
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
