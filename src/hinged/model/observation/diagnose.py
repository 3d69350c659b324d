"""Diagnoses the curves of a model: dead units, unused pieces, inputs outside the range, slopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.curve import Curve
from hinged.model.observation.advice import Advice, advice
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.layer_diagnosis import LayerDiagnosis
from hinged.model.observation.layer_statistics import LayerStatistics, collect_custom_statistics
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, check_start_curves, curve_layers
from hinged.nn.curve_state import start_curve

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
    "travel",
    "nearest",
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The diagnosis of the curves of a model. `str` returns a table, with advice below it.

    Attributes:
        layers: the diagnosis of each curve layer, by the layer's name in the model.
        unreached: names of the curve layers that the model did not call on the data.
    """

    layers: dict[str, LayerDiagnosis]
    unreached: tuple[str, ...] = ()

    def figures(self) -> dict[str, dict[str, int | float | str | None]]:
        """Return the measured numbers of every layer, for a logger or for JSON.

        Returns:
            A dictionary by layer name. Each entry is the dictionary that `LayerDiagnosis.figures`
            returns for this layer, such as `{"dead": 3, "outside": 0.1, ...}`.
        """
        return {name: layer.figures() for name, layer in self.layers.items()}

    @property
    def advice(self) -> tuple[Advice, ...]:
        """Advice for each sign of a problem in a layer; empty if no layer shows a sign."""
        return tuple(each for name, layer in self.layers.items() for each in advice(name, layer))

    def __str__(self) -> str:
        rows = [_HEAD, *(_cells(name, figures) for name, figures in self.figures().items())]
        lines = [format_table(rows), *(f"{each.text}." for each in self.advice)]
        if self.unreached:
            lines.append(f"Not called on the data: {', '.join(self.unreached)}.")
        return "\n".join(lines)


def diagnose(
    model: nn.Module,
    data: Any,
    *,
    start: Mapping[str, Curve] | None = None,
    optimizer: Optimizer | None = None,
    call: CallModel | None = None,
    batches: int | None = None,
) -> Diagnosis:
    """Run a model over data, and report how well its curves work, with advice on problems.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges. The result shows for each channel whether the
    unit is dead, how many inputs lie outside the range (first to last hinge), how steep the curve
    is, and how far it has moved from its start.

    The model runs once over the data, without gradients, in its current mode (training or
    evaluation). Parameters, BatchNorm statistics, training flags and the random state are the same
    afterwards. The memory use does not grow with the data.

    Args:
        model: any module with `PiecewiseLinear` layers.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes.
        start: the curves before training, as returned by `hinged.copy_curves`. They are needed to
            compute how far each curve has moved. None leaves this out.
        optimizer: the optimizer that has trained the curves in their metric
            (`hinged.param_groups`). Its state contains the curves before training, so that `start`
            is not needed. Linear tails then stand for free tails at the start.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `Diagnosis`. `print` shows it as a table with advice.

    Raises:
        ArgumentError: if the model has no curves, `data` has no batches, `start` has other layers
            than the model, the optimizer has not trained curves of the model in their metric, or
            both `start` and `optimizer` are given.

    >>> import hinged, torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     model[0].bias[1] = -1e6
    >>> found = hinged.diagnose(model, torch.randn(100, 2), start=hinged.copy_curves(model))
    >>> layer = found.layers["1"]
    >>> layer.dead.tolist(), layer.drift.max().item()
    ([False, True, False, False], 0.0)
    """
    given = Batches(data, CALL, call, batches)
    layers = curve_layers(model, CALL)
    if start is not None:
        check_start_curves(CALL, start, layers)
    if optimizer is not None:
        if start is not None:
            got, hint = "both start and optimizer", "give one of the two"
            raise errors.ArgumentError(errors.message(CALL, got, hint))
        start = _start_curves_in(optimizer, layers)
    statistics = collect_custom_statistics(model, given, LayerStatistics.of)
    return diagnose_layers(layers, statistics, start)


def _start_curves_in(
    optimizer: Optimizer, layers: Mapping[str, PiecewiseLinear]
) -> dict[str, Curve]:
    """Return the curves before training of the layers that an optimizer trains in their metric."""
    call = f"{CALL}(optimizer=...)"
    if not isinstance(optimizer, Optimizer):
        hint = "pass the optimizer of torch that has trained the model"
        raise errors.ArgumentError(errors.message(call, errors.class_of(optimizer), hint))
    found = {name: _start_curve_in(optimizer, layer) for name, layer in layers.items()}
    start = {name: curve for name, curve in found.items() if curve is not None}
    if not start:
        got = "an optimizer that has not trained curves of the model in their metric"
        hint = (
            "train the groups of hinged.param_groups(model, ...) first, or pass "
            "start=hinged.copy_curves(model) of the model before training"
        )
        raise errors.ArgumentError(errors.message(call, got, hint))
    return start


def _start_curve_in(optimizer: Optimizer, layer: PiecewiseLinear) -> Curve | None:
    values = layer._parameters.get("values")
    state = {} if values is None else optimizer.state.get(values, {})
    return start_curve(state, layer.tails).snapshot() if "start" in state else None


def diagnose_layers(
    layers: Mapping[str, PiecewiseLinear],
    statistics: Mapping[str, LayerStatistics],
    start: Mapping[str, Curve] | None,
) -> Diagnosis:
    """Return the diagnosis of curve layers whose statistics were already collected.

    Args:
        layers: the layers by name.
        statistics: statistics of the inputs and outputs of each layer, by layer name. Layers that
            the model did not call are missing.
        start: the curves of each layer before training, by layer name; None if they are not known.
    """
    start = start or {}
    diagnosed = {
        name: LayerDiagnosis(
            layer.curve().snapshot(),
            statistics[name],
            start.get(name),
            layer.values.requires_grad,
        )
        for name, layer in layers.items()
        if name in statistics
    }
    return Diagnosis(diagnosed, tuple(name for name in layers if name not in diagnosed))


def copy_curves(model: nn.Module) -> dict[str, Curve]:
    """Return copies of the current curves of a model. Later training does not change the copies.

    Args:
        model: any module with `PiecewiseLinear` layers.

    Returns:
        A dictionary with a `Curve` on the CPU for each layer, by the layer's name in the model.

    Raises:
        ArgumentError: if the model has no curves.

    >>> import hinged
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4))
    >>> hinged.copy_curves(model)["1"].values.shape
    torch.Size([4, 9])
    """
    layers = curve_layers(model, "hinged.copy_curves")
    return {name: layer.curve().snapshot() for name, layer in layers.items()}


def _cells(name: str, figures: dict[str, Any]) -> tuple[str, ...]:
    travel = "" if figures["travel"] is None else f"{figures['travel']:.1%}"
    shares = (f"{figures[key]:.1%}" for key in ("dormant", "lines_hit", "outside"))
    nearest = f"{figures['nearest_native']} +- {figures['native_error']:.2g}"
    counts = (str(figures[key]) for key in ("channels", "hinges", "dead"))
    return (name or "(itself)", *counts, *shares, f"{figures['lipschitz']:.3g}", travel, nearest)
