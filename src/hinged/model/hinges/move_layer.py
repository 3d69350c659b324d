"""Moves the hinges of one layer of curves."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.curve import Curve, Refit, move_range, move_ranges
from hinged.curve.curve import check_hinges
from hinged.curve.placement.place_hinges import METHODS
from hinged.model.observation.histogram import Histogram, Moments
from hinged.model.observation.layer_statistics import InputStatistics
from hinged.nn import PiecewiseLinear
from hinged.nn.constraints import Keeper

Range = tuple[float, float]


@dataclass(frozen=True)
class LayerCalibration:
    """What `calibrate` did to one layer.

    Attributes:
        before: first and last hinge before.
        after: first and last hinge after; the same where the layer was left alone.
        outside_before: share of the inputs outside the range before.
        rms: root of the mean squared change of the output over the data.
        error: largest change of the output over the data.
        reason: why the layer was left alone, or empty.
        added: how many hinges a curve has more than before, fewer where negative; where it is not
            0 the layer's parameters are new ones.
    """

    before: Range
    after: Range
    outside_before: float
    rms: float = 0.0
    error: float = 0.0
    reason: str = ""
    added: int = 0


@dataclass(frozen=True)
class Target:
    """Where hinges are to go, as `calibrate` is asked; `call` is how messages name the caller."""

    call: str
    spread: float = 3.0
    coverage: float | None = None
    placement: str = "uniform"
    hinges: int | None = None
    per_channel: bool | None = None

    def __post_init__(self) -> None:
        if not 0 < self.spread < float("inf"):
            self._refuse("spread", "expected a positive number of standard deviations")
        if self.coverage is not None and not 0 < self.coverage <= 1:
            self._refuse("coverage", "expected a share of the inputs, above 0 and up to 1")
        if self.placement not in METHODS:
            raise errors.unknown_name(f"{self.call}(placement=...)", self.placement, METHODS)
        count = self.hinges
        whole = isinstance(count, Integral) and not isinstance(count, bool)
        if count is not None and not (whole and count >= 2):
            self._refuse("hinges", "expected a whole number of hinges, at least 2")

    def _refuse(self, name: str, hint: str) -> None:
        got = repr(getattr(self, name))
        raise errors.ArgumentError(errors.message(f"{self.call}({name}=...)", got, hint))

    def ranges(self, moments: Moments, histogram: Histogram) -> Tensor:
        """Return low and high end for each channel of a summary, `(C, 2)`."""
        if self.coverage is None:
            reach = self.spread * moments.std
            return torch.stack((moments.mean - reach, moments.mean + reach), dim=1).cpu()
        tail = (1 - self.coverage) / 2
        return histogram.quantiles([tail, 1 - tail]).cpu()


def move_layer(
    layer: PiecewiseLinear, seen: InputStatistics | None, target: Target
) -> LayerCalibration:
    """Move the hinges of a layer to the inputs it has seen, and say what changed."""
    before = _range(layer)
    if seen is None:
        return LayerCalibration(before, before, 0.0, reason="no data reached it")
    outside = seen.lines.counts[:, [0, -1]].sum().double() / seen.lines.total.sum().clamp(min=1)
    left_alone = _refusal(layer, seen)
    if left_alone:
        return LayerCalibration(before, before, outside.item(), reason=left_alone)
    curve = layer.curve().snapshot()
    try:
        moved = _moved(curve, seen, target)
        check_hinges(moved.curve.hinges.to(layer.hinges.dtype), target.call)
    except errors.ArgumentError as refused:
        return LayerCalibration(before, before, outside.item(), reason=str(refused))
    _write(layer, moved.curve)
    rms, error = _change(curve, layer.curve().snapshot(), seen.histogram)
    added = layer.hinges.shape[-1] - curve.hinges.shape[-1]
    return LayerCalibration(before, _range(layer), outside.item(), rms, error, added=added)


def _refusal(layer: PiecewiseLinear, seen: InputStatistics) -> str:
    """Return why a layer must be left alone, or nothing."""
    if layer._parameters.get("values") is None:
        return "its values are parametrised"
    if not (seen.inputs.high > seen.inputs.low).any():
        return "its inputs are all the same"
    return ""


def _moved(curve: Curve, seen: InputStatistics, target: Target) -> Refit:
    positions, shares = (each.cpu() for each in seen.histogram.points())
    how: dict[str, Any] = {"hinges": target.hinges, "method": target.placement}
    own = curve.hinges.dim() == 2 if target.per_channel is None else target.per_channel
    if curve.channels == 1 or not own:
        ((low, high),) = target.ranges(seen.inputs.pooled(), seen.histogram.pooled()).tolist()
        return move_range(curve, (low, high), positions, shares, **how)
    ranges = target.ranges(seen.inputs, seen.histogram)
    # A channel whose inputs are all the same keeps the range it has.
    held = torch.stack(curve.range, dim=-1).expand(curve.channels, 2).to(ranges)
    rows = torch.where(ranges[:, 1:] > ranges[:, :1], ranges, held).tolist()
    return move_ranges(curve, [(low, high) for low, high in rows], positions, shares, **how)


def _change(before: Curve, after: Curve, histogram: Histogram) -> tuple[float, float]:
    """Return the root of the mean squared and the largest change over the inputs seen."""
    points, shares = (each.cpu() for each in histogram.points())
    change = (after(points, dim=0) - before(points, dim=0)).abs()
    error = change.masked_fill(shares == 0, 0.0).max().item()
    seen = (shares.sum(dim=1) > 0).sum().clamp(min=1)
    return ((shares * change.square()).sum() / seen).sqrt().item(), error


def _range(layer: PiecewiseLinear) -> Range:
    return layer.hinges.min().item(), layer.hinges.max().item()


def _write(layer: PiecewiseLinear, curve: Curve) -> None:
    """Give a layer another curve, held to the constraint that it may have."""
    layer.set_curve(curve)
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, Keeper):
            hook.project()
