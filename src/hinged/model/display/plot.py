"""A picture of a model's curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve import Curve
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.layer_statistics import LayerStatistics, collect_statistics
from hinged.nn import curve_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CALL = "hinged.plot"
CURVE, CHANNEL, INPUTS, LINES = "#c2410c", "#334155", "#cbd5e1", "#e2e8f0"
_COLUMNS, _POINTS, _BINS = 4, 401, 60
_BAND = (0.05, 0.95)


def plot(model: nn.Module, data: Any = None, *, examples: int = 3) -> Figure:
    """Return a picture of a model's curves, one panel a layer, over the histogram of its inputs.

    A panel shows the median of the channels, a band that holds nine channels in ten at each place,
    a few channels by themselves (from the one closest to the median to the one farthest from it),
    and the hinges as ticks. It goes a tenth beyond the range on both sides.

    Args:
        model: a model with curves, or one layer of them.
        data: what `hinged.diagnose` takes; the model runs over it once and stays as it was. Without
            data there are no histograms.
        examples: how many channels to draw by themselves, 0 for none.

    Returns:
        A `matplotlib.figure.Figure`: `figure.savefig("curves.png")` writes it, a notebook shows it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ArgumentError: a model without curves, or a number of examples below 0.

    >>> import hinged
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> figure = plot(model, torch.zeros(100, 2))
    >>> [axes.get_title() for axes in figure.axes if axes.get_title()]
    ['1: 8 channels, 0.0 % outside']
    """
    check_examples(CALL, examples)
    layers = curve_layers(model, CALL)
    seen = {} if data is None else collect_statistics(model, data, CALL)
    figure, panels = grid(len(layers))
    for axes, (name, layer) in zip(panels, layers.items(), strict=True):
        curve = layer.curve().snapshot(torch.float64)
        panel(axes, curve, seen.get(name), examples)
        axes.set_title(_title(name, curve, seen.get(name), data is not None), fontsize=9)
    legend(figure)
    return figure


def check_examples(call: str, examples: int) -> None:
    """Raise `ArgumentError` unless `examples` is a number of channels."""
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 0:
        hint = "expected how many channels to draw by themselves, 0 or more"
        raise errors.ArgumentError(errors.message(f"{call}(examples=...)", repr(examples), hint))


def grid(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with that many panels, in rows of four.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    errors.require_extra("lab", ["matplotlib"])
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * rows + 0.5), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def panel(axes: Axes, curve: Curve, seen: LayerStatistics | None, examples: int) -> None:
    """Draw the curves of a layer, in float64, over the histogram of what it has seen."""
    low, high = curve.hinges.min().item(), curve.hinges.max().item()
    margin = 0.1 * (high - low)
    x = torch.linspace(low - margin, high + margin, _POINTS, dtype=torch.float64)
    y = curve(x[:, None].expand(-1, curve.channels))
    if seen is not None:
        _inputs(axes, seen.histogram, x[0].item(), x[-1].item())
    axes.axhline(0, color=LINES, linewidth=0.8, zorder=0)
    axes.axvline(0, color=LINES, linewidth=0.8, zorder=0)
    if curve.channels > 1:
        band = torch.quantile(y, torch.tensor(_BAND, dtype=y.dtype), dim=1)
        label = "90 % of the channels"
        axes.fill_between(
            x.numpy(), *band.numpy(), color=CURVE, alpha=0.2, linewidth=0, label=label
        )
        for channel in _examples(y, examples):
            axes.plot(
                x.numpy(), y[:, channel].numpy(), color=CHANNEL, linewidth=0.7, label="a channel"
            )
    label = "median" if curve.channels > 1 else "the curve"
    axes.plot(x.numpy(), _median(y).numpy(), color=CURVE, linewidth=1.6, label=label)
    if curve.hinges.dim() == 1:
        axes.set_xticks(curve.hinges.tolist(), minor=True)
    axes.tick_params(labelsize=7)
    axes.tick_params(axis="x", which="minor", length=4, color=CURVE)
    axes.set_xlim(x[0].item(), x[-1].item())


def _median(y: Tensor) -> Tensor:
    return torch.quantile(y, 0.5, dim=1)


def _examples(y: Tensor, count: int) -> list[int]:
    """Return channels evenly spread from the closest to the median to the farthest from it."""
    distances = (y - _median(y)[:, None]).abs().amax(dim=0)
    order = distances.argsort(stable=True)
    places = torch.linspace(len(order) - 1, 0, min(count, len(order))).round().long()
    return [int(channel) for channel in order[places]]


def _inputs(axes: Axes, histogram: Histogram, low: float, high: float) -> None:
    """Draw the inputs of all channels behind the curves, on an axis of their own."""
    middles, counts = histogram.points()[0].cpu(), histogram.counts.cpu().double()
    edges = torch.linspace(low, high, _BINS + 1, dtype=torch.float64)
    places = torch.bucketize(middles, edges, right=True).flatten()
    heights = torch.bincount(places, counts.flatten(), minlength=_BINS + 2)[1:-1]
    behind = axes.twinx()
    behind.stairs(heights.numpy(), edges.numpy(), fill=True, color=INPUTS, label="inputs")
    behind.set_yticks([])
    # The curves' axes must lie above, and let the histogram be seen.
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)


def _title(name: str, curve: Curve, seen: LayerStatistics | None, ran: bool) -> str:
    count = f"{curve.channels} channel{'s' * (curve.channels != 1)}"
    title = f"{name}: {count}" if name else count
    if seen is None:
        return f"{title}, no inputs" if ran else title
    lines = seen.lines.counts.sum(dim=0)
    outside = (lines[0] + lines[-1]) / lines.sum().clamp(min=1)
    return f"{title}, {100 * outside.item():.1f} % outside"


def legend(figure: Figure) -> None:
    """Explain each kind of line of a figure once, below its panels."""
    lines = (line for axes in figure.axes for line in axes.get_legend_handles_labels()[0])
    handles = {line.get_label(): line for line in lines}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=4, fontsize=8)
