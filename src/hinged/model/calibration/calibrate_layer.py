"""Moves the hinges of one curve layer to the range of its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.curve import Curve, Refit, move_range, move_ranges
from hinged.curve.curve import check_hinges
from hinged.curve.placement.place_hinges import METHODS
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.layer_statistics import InputStatistics
from hinged.model.observation.moments import Moments
from hinged.nn import PiecewiseLinear
from hinged.nn.constraints import apply_constraint
from hinged.nn.site import SHARING

Range = tuple[float, float]
SMALLEST_SHARE = 1e-3
"""A channel keeps its range if the new one is not wider than this share of the layer's range."""


@dataclass(frozen=True)
class LayerCalibration:
    """How `calibrate` changed one curve layer.

    Attributes:
        before: the smallest and the largest hinge of all channels before the calibration.
        after: the smallest and the largest hinge after the calibration. Equal to `before` if the
            layer was left unchanged.
        outside_before: the fraction of the inputs that were outside the hinges before the
            calibration.
        rms: the root mean square of the change of the layer's output over the data.
        error: the largest absolute change of the layer's output over the data.
        reason: why the layer was left unchanged. Empty if it was changed.
        added: the new number of hinges of each curve minus the old number. If it is not 0, the
            layer has new parameters.
    """

    before: Range
    after: Range
    outside_before: float
    rms: float = 0.0
    error: float = 0.0
    reason: str = ""
    added: int = 0


@dataclass(frozen=True)
class CalibrationSettings:
    """The settings of `hinged.calibrate` that determine where hinges are placed.

    Attributes:
        call: the name of the public function for error messages.
        spread: half the width of the new range (first to last hinge), in standard deviations of the
            inputs.
        coverage: the fraction of the inputs inside the new range; None to use `spread`.
        placement: how hinges are placed: `"uniform"`, `"quantile"` or `"search"`.
        hinges: the new number of hinges of each curve; None keeps the number.
        sharing: `"channel"` for separate hinges in each channel, `"layer"` for the same hinges in
            all channels of a layer; None keeps the present sharing of each layer.
    """

    call: str
    spread: float = 3.0
    coverage: float | None = None
    placement: str = "uniform"
    hinges: int | None = None
    sharing: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.spread, Real) and 0 < self.spread < float("inf")):
            raise self._error("spread", "expected a positive number of standard deviations")
        share = 1 if self.coverage is None else self.coverage
        if not (isinstance(share, Real) and 0 < share <= 1):
            raise self._error("coverage", "expected a fraction of the inputs, above 0 and up to 1")
        if self.placement not in METHODS:
            raise errors.unknown_name(f"{self.call}(placement=...)", self.placement, METHODS)
        if self.sharing is not None and self.sharing not in SHARING:
            raise errors.unknown_name(f"{self.call}(sharing=...)", self.sharing, SHARING)
        count = self.hinges
        if count is not None and not errors.is_whole_number(count, 2):
            raise self._error("hinges", "expected a whole number of hinges, at least 2")

    def _error(self, name: str, hint: str) -> errors.ArgumentError:
        got = errors.shown(getattr(self, name))
        return errors.ArgumentError(errors.message(f"{self.call}({name}=...)", got, hint))

    def ranges(self, moments: Moments, histogram: Histogram) -> Tensor:
        """Return the new first and last hinge of each of `C` channels, shape `(C, 2)`.

        `moments` (mean and variance) and `histogram` describe the inputs of each channel.
        """
        if self.coverage is None:
            half = self.spread * moments.std
            return torch.stack((moments.mean - half, moments.mean + half), dim=1).cpu()
        tail = (1 - self.coverage) / 2
        return histogram.quantiles([tail, 1 - tail]).cpu()


def calibrate_layer(
    layer: PiecewiseLinear, statistics: InputStatistics | None, settings: CalibrationSettings
) -> LayerCalibration:
    """Move the hinges of a layer to the range of its inputs, and return what has changed.

    `statistics` describes the inputs of the layer. It is None if the layer received no inputs.
    """
    before = _range(layer)
    if statistics is None:
        return LayerCalibration(before, before, 0.0, reason="no data reached it")
    lines = statistics.lines
    outside = (lines.counts[:, [0, -1]].sum().double() / lines.total.sum().clamp(min=1)).item()
    reason = _reason_to_skip(layer, statistics)
    if reason:
        return LayerCalibration(before, before, outside, reason=reason)
    curve = layer.curve().snapshot()
    try:
        moved = _move_hinges(curve, statistics, settings)
        check_hinges(moved.curve.hinges.to(layer.hinges.dtype), settings.call)
    except errors.ArgumentError as error:
        return LayerCalibration(before, before, outside, reason=str(error))
    layer.set_curve(moved.curve)
    apply_constraint(layer)
    rms, largest = _output_change(curve, layer.curve().snapshot(), statistics.histogram)
    added = layer.hinges.shape[-1] - curve.hinges.shape[-1]
    return LayerCalibration(before, _range(layer), outside, rms, largest, added=added)


def _reason_to_skip(layer: PiecewiseLinear, statistics: InputStatistics) -> str:
    """Return why the hinges of a layer cannot be moved; empty if they can."""
    if layer._parameters.get("values") is None:
        return "its values have a parametrization of torch"
    if not (statistics.inputs.high > statistics.inputs.low).any():
        return "all its inputs are equal"
    return ""


def _move_hinges(curve: Curve, statistics: InputStatistics, settings: CalibrationSettings) -> Refit:
    inputs, histogram = statistics.inputs, statistics.histogram
    positions, shares = (each.cpu() for each in histogram.points())
    options: dict[str, Any] = {"hinges": settings.hinges, "method": settings.placement}
    sharing = settings.sharing or ("channel" if curve.hinges.dim() == 2 else "layer")
    if curve.channels == 1 or sharing == "layer":
        ((low, high),) = settings.ranges(inputs.pooled(), histogram.pooled()).tolist()
        return move_range(curve, (low, high), positions, shares, **options)
    ranges = settings.ranges(inputs, histogram)
    # A channel whose inputs hardly vary, such as a dead one, keeps its range.
    smallest = SMALLEST_SHARE * settings.ranges(inputs.pooled(), histogram.pooled()).diff()
    old = torch.stack(curve.range, dim=-1).expand(curve.channels, 2).to(ranges)
    rows = torch.where(ranges.diff() > smallest, ranges, old).tolist()
    return move_ranges(curve, [(low, high) for low, high in rows], positions, shares, **options)


def _output_change(before: Curve, after: Curve, histogram: Histogram) -> tuple[float, float]:
    """Return how much the output of a layer has changed over its inputs.

    Returns:
        A pair: the root mean square of the change, and the largest absolute change.
    """
    points, shares = (each.cpu() for each in histogram.points())
    change = (after(points, dim=0) - before(points, dim=0)).abs()
    largest = change.masked_fill(shares == 0, 0.0).max().item()
    channels = (shares.sum(dim=1) > 0).sum().clamp(min=1)
    return ((shares * change.square()).sum() / channels).sqrt().item(), largest


def _range(layer: PiecewiseLinear) -> Range:
    return layer.hinges.min().item(), layer.hinges.max().item()
