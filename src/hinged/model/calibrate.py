"""Moves the range of curves to where their inputs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from hinged import errors
from hinged.curve import Curve, move_range
from hinged.model.observe import LineCounts, Moments
from hinged.model.tables import aligned
from hinged.model.watch import Seen, curve_layers, watch
from hinged.nn import PiecewiseLinear

CALL = "hinged.calibrate"


@dataclass(frozen=True)
class Moved:
    """What `calibrate` did to one layer.

    Attributes:
        before: first and last hinge before.
        after: first and last hinge after; the same where the layer was left alone.
        outside_before: share of the inputs outside the range before.
        rms: root of the mean squared change of the output over the data.
        error: largest change of the output over the data.
        reason: why the layer was left alone, or empty.
    """

    before: tuple[float, float]
    after: tuple[float, float]
    outside_before: float
    rms: float = 0.0
    error: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did, by the name of the layer; `str` of it is a table."""

    layers: dict[str, Moved]

    def __str__(self) -> str:
        head = ("layer", "range before", "range after", "outside before", "rms", "largest", "")
        return aligned([head, *(_cells(name, moved) for name, moved in self.layers.items())])


def calibrate(model: nn.Module, data: Any, spread: float = 3.0) -> Calibration:
    """Move the range of every curve to its inputs' mean +- `spread` standard deviations.

    The inputs of all channels of a layer count together, since they share their hinges. The curve
    on the new hinges is the least-squares fit of the old one for the inputs seen: a ReLU and
    whatever else an even grid can hold stays what it was, and how much others changed is reported.
    Values are written into the parameters that are there, so that optimisers keep them.

    Args:
        model: any module with `PiecewiseLinear` layers; it is changed in place.
        data: a batch or an iterable of batches, as in `hinged.diagnose`; run over once.
        spread: half the new range, in standard deviations.

    Returns:
        What was done to each layer, and why some were left alone.

    Raises:
        ArgumentError: a spread that is not positive, a model without curves, or no data.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 8), PiecewiseLinear(8), nn.Linear(8, 1))
    >>> x = 100 * torch.randn(64, 2)
    >>> done = calibrate(model, x)
    >>> done.layers["1"].outside_before > 0.5, done.layers["1"].error
    (True, 0.0)
    """
    if not 0 < spread < float("inf"):
        cure = "expected a positive number of standard deviations"
        raise errors.ArgumentError(errors.sentence(f"{CALL}(spread=...)", repr(spread), cure))
    layers = curve_layers(model, CALL)
    seen = watch(model, data, CALL)
    return Calibration({n: _calibrated(layer, seen.get(n), spread) for n, layer in layers.items()})


def _calibrated(layer: PiecewiseLinear, seen: Seen | None, spread: float) -> Moved:
    before = _range(layer)
    if seen is None:
        return Moved(before, before, 0.0, reason="no data reached it")
    outside = _outside(seen.lines)
    if layer.hinges.dim() == 2:
        return Moved(before, before, outside, reason="its channels have hinges of their own")
    mean, std = _pooled(seen.inputs)
    if not std > 0:
        return Moved(before, before, outside, reason="its inputs are all the same")
    curve = _detached(layer)
    try:
        moved = move_range(
            curve, (mean - spread * std, mean + spread * std), *seen.histogram.points()
        )
    except errors.ArgumentError as refused:
        return Moved(before, before, outside, reason=str(refused))
    layer.set_curve(moved.curve)
    rms = moved.loss.mean().sqrt().item()
    return Moved(before, _range(layer), outside, rms, moved.error.max().item())


def _range(layer: PiecewiseLinear) -> tuple[float, float]:
    return layer.hinges.min().item(), layer.hinges.max().item()


def _outside(lines: LineCounts) -> float:
    total = lines.counts.sum(dim=0)
    return ((total[0] + total[-1]) / total.sum().clamp(min=1)).item()


def _pooled(moments: Moments) -> tuple[float, float]:
    """Return mean and standard deviation of all channels together."""
    share = moments.count / moments.count.sum().clamp(min=1).double()
    mean = (share * moments.mean).sum()
    variance = (share * (moments.std.square() + (moments.mean - mean).square())).sum()
    return mean.item(), variance.sqrt().item()


def _detached(layer: PiecewiseLinear) -> Curve:
    slopes = None if layer.tail_slopes is None else layer.tail_slopes.detach()
    return Curve(layer.hinges, layer.values.detach(), layer.tails, slopes)


def _cells(name: str, moved: Moved) -> tuple[str, ...]:
    ranges = (f"{low:.3g} to {high:.3g}" for low, high in (moved.before, moved.after))
    figures = (f"{moved.outside_before:.1%}", f"{moved.rms:.2g}", f"{moved.error:.2g}")
    return (name, *ranges, *figures, moved.reason)
