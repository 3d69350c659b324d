"""Diagnoses the curves of a model: dead units, hinges in use, inputs outside, slopes, drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged.curve import Curve
from hinged.model.observation.advice import Advice, advice
from hinged.model.observation.layer_diagnosis import LayerDiagnosis
from hinged.model.observation.layer_statistics import LayerStatistics, collect_statistics
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, check_start_curves, curve_layers

CALL = "hinged.diagnose"
_HEAD = (
    "layer",
    "channels",
    "hinges",
    "dead",
    "dormant",
    "lines hit",
    "outside",
    "Lipschitz",
    "drift",
    "nearest",
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The diagnosis of a model's curves. `str` of it is a table with advice below.

    Attributes:
        layers: by the layer's name in the model.
        unreached: names of the layers that no data reached.
    """

    layers: dict[str, LayerDiagnosis]
    unreached: tuple[str, ...] = ()

    def figures(self) -> dict[str, dict[str, int | float | str | None]]:
        """Return the figures of every layer, ready for a logger or for JSON."""
        return {name: layer.figures() for name, layer in self.layers.items()}

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to do about each sign of a problem; empty if all is well."""
        return tuple(each for name, layer in self.layers.items() for each in advice(name, layer))

    def __str__(self) -> str:
        rows = [_HEAD, *(_cells(name, figures) for name, figures in self.figures().items())]
        lines = [format_table(rows), *(f"{each.text}." for each in self.advice)]
        if self.unreached:
            lines.append(f"No data reached: {', '.join(self.unreached)}.")
        return "\n".join(lines)


def diagnose(model: nn.Module, data: Any, *, start: Mapping[str, Curve] | None = None) -> Diagnosis:
    """Run a model over data and return a diagnosis of its curves, by layer and channel.

    The model runs once, without gradients, in its current mode (training or evaluation).
    Parameters, BatchNorm statistics, training flags and the random state stay as they were. Memory
    does not grow with the data.

    Args:
        model: any module with `PiecewiseLinear` layers.
        data: one batch (a tensor, a pair of inputs and targets, or a dictionary of keyword
            arguments), or an iterable of such batches, such as a DataLoader.
        start: the curves before training, from `hinged.copy_curves`, to compute the drift.

    Raises:
        ArgumentError: a model without curves, no data, or a `start` with other layers.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     model[0].bias[1] = -1e6
    >>> found = diagnose(model, torch.randn(100, 2), start=copy_curves(model))
    >>> layer = found.layers["1"]
    >>> layer.dead.tolist(), layer.drift.max().item()
    ([False, True, False, False], 0.0)
    """
    layers = curve_layers(model, CALL)
    if start is not None:
        check_start_curves(CALL, start, layers)
    return diagnose_layers(layers, collect_statistics(model, data, CALL), start)


def diagnose_layers(
    layers: Mapping[str, PiecewiseLinear],
    statistics: Mapping[str, LayerStatistics],
    start: Mapping[str, Curve] | None,
) -> Diagnosis:
    """Return a diagnosis of layers from statistics of their inputs and outputs."""
    start = start or {}
    diagnosed = {
        name: LayerDiagnosis(layer.curve().snapshot(), statistics[name], start.get(name))
        for name, layer in layers.items()
        if name in statistics
    }
    return Diagnosis(diagnosed, tuple(name for name in layers if name not in diagnosed))


def copy_curves(model: nn.Module) -> dict[str, Curve]:
    """Return copies of a model's current curves, on the CPU, by the layer's name.

    >>> copy_curves(nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4)))["1"].values.shape
    torch.Size([4, 9])
    """
    layers = curve_layers(model, "hinged.copy_curves")
    return {name: layer.curve().snapshot() for name, layer in layers.items()}


def _cells(name: str, figures: dict[str, Any]) -> tuple[str, ...]:
    drift = "" if figures["drift"] is None else f"{figures['drift']:.3g}"
    shares = (f"{figures[key]:.1%}" for key in ("dormant", "lines_hit", "outside"))
    nearest = f"{figures['nearest_native']} +- {figures['native_error']:.2g}"
    counts = (str(figures[key]) for key in ("channels", "hinges", "dead"))
    return (name or "(itself)", *counts, *shares, f"{figures['lipschitz']:.3g}", drift, nearest)
