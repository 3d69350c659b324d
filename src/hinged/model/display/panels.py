"""Draws the curves of one layer into one panel of a figure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hinged import errors
from hinged.curve import Curve
from hinged.model.observation.histogram import Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_COLOR, CHANNEL_COLOR, INPUTS_COLOR, ZERO_LINE_COLOR = (
    "#c2410c",
    "#334155",
    "#cbd5e1",
    "#e2e8f0",
)
_COLUMNS, _POINTS, _BINS = 4, 401, 60
_PANEL_WIDTH = 3.2  # inches
_NAME_LENGTH = 36
"""Largest number of characters in the name of a layer that fit above a panel."""
_BAND_QUANTILES = (0.05, 0.95)


def check_example_count(call: str, examples: int) -> None:
    """Raise `ArgumentError` unless `examples` is a whole number of at least 0."""
    if not errors.is_whole_number(examples, 0):
        hint = "expected a whole number of single channels to draw, 0 or more"
        raise errors.ArgumentError(
            errors.message(f"{call}(examples=...)", errors.shown(examples), hint)
        )


def panel_title(name: str, facts: str) -> str:
    """Return the title of a panel: the name of a layer, shortened to one line, and facts below it.

    >>> print(panel_title("encoder.layers.11.feed_forward.activation", "8 channels"))
    encoder.layers.11.feed…ard.acti…tion
    8 channels
    """
    return f"{shorten_name(name)}\n{facts}" if name else facts


def shorten_name(name: str, length: int = _NAME_LENGTH) -> str:
    """Shorten the name of a module to at most `length` characters.

    Its longest parts are shortened in their middle. Short parts, such as the number of a layer,
    stay as they are.

    >>> shorten_name("encoder.layers.11.feed_forward.activation", 24)
    'en…r.la…s.11.fe…rd.ac…on'
    """
    parts = name.split(".")
    while len(".".join(parts)) > length and max(map(len, parts)) > 2:
        longest = max(range(len(parts)), key=lambda number: len(parts[number]))
        letters = parts[longest].replace("…", "")
        kept = len(parts[longest]) - 2
        left = (kept + 1) // 2
        parts[longest] = letters[:left] + "…" + letters[len(letters) - (kept - left) :]
    short = ".".join(parts)
    return short if len(short) <= length else f"{short[: length // 2]}…{short[-length // 2 + 1 :]}"


def make_panels(count: int) -> tuple[Figure, list[Axes]]:
    """Return a new figure and its `count` panels, four in each row.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    errors.require_extra("lab", ["matplotlib"])
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(_PANEL_WIDTH * columns, 2.5 * rows + 0.5), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(count)]


def draw_panel(axes: Axes, curve: Curve, inputs: Histogram | None, examples: int) -> None:
    """Draw the curves of a layer into a panel, in front of a histogram of the layer's inputs.

    Args:
        axes: the panel to draw into.
        curve: the curves of the layer, in float64.
        inputs: the histogram of the inputs; None draws no histogram.
        examples: the number of single channels to draw.
    """
    low, high = curve.hinges.min().item(), curve.hinges.max().item()
    margin = 0.1 * (high - low)
    x = torch.linspace(low - margin, high + margin, _POINTS, dtype=torch.float64)
    y = curve(x[:, None].expand(-1, curve.channels))
    if inputs is not None:
        _draw_inputs(axes, inputs, x[0].item(), x[-1].item())
    axes.axhline(0, color=ZERO_LINE_COLOR, linewidth=0.8, zorder=0)
    axes.axvline(0, color=ZERO_LINE_COLOR, linewidth=0.8, zorder=0)
    if curve.channels > 1:
        _draw_channels(axes, x, y, examples)
    label = "median" if curve.channels > 1 else "the curve"
    axes.plot(x.numpy(), _median(y).numpy(), color=CURVE_COLOR, linewidth=1.6, label=label)
    if curve.hinges.dim() == 1:
        axes.set_xticks(curve.hinges.tolist(), minor=True)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=7)
    axes.tick_params(axis="x", which="minor", length=4, color=CURVE_COLOR)
    axes.set_xlim(x[0].item(), x[-1].item())


def _draw_channels(axes: Axes, x: Tensor, y: Tensor, examples: int) -> None:
    """Draw the area between the 5 % and the 95 % quantile of the channels, and single channels.

    Args:
        axes: the panel to draw into.
        x: positions on the input axis, shape `(N,)`.
        y: outputs of the `C` channels at these positions, shape `(N, C)`.
        examples: the number of single channels to draw.
    """
    band = torch.quantile(y, torch.tensor(_BAND_QUANTILES, dtype=y.dtype), dim=1).numpy()
    label = "90 % of the channels"
    axes.fill_between(x.numpy(), *band, color=CURVE_COLOR, alpha=0.2, linewidth=0, label=label)
    for channel in _example_channels(y, examples):
        line = y[:, channel].numpy()
        axes.plot(x.numpy(), line, color=CHANNEL_COLOR, linewidth=0.7, label="a channel")


def _median(y: Tensor) -> Tensor:
    return torch.quantile(y, 0.5, dim=1)


def _example_channels(y: Tensor, count: int) -> list[int]:
    """Return the indices of `count` example channels.

    The channels are sorted by the largest distance of their curve from the median over all
    channels. The examples are taken from this list at equal steps, from the farthest channel to the
    nearest.

    Args:
        y: outputs of the `C` channels at `N` positions, shape `(N, C)`.
        count: the number of examples.
    """
    distances = (y - _median(y)[:, None]).abs().amax(dim=0)
    order = distances.argsort(stable=True)
    places = torch.linspace(len(order) - 1, 0, min(count, len(order))).round().long()
    return [int(channel) for channel in order[places]]


def _draw_inputs(axes: Axes, histogram: Histogram, low: float, high: float) -> None:
    """Draw a histogram of the inputs of all channels together, behind the curves.

    The heights of the bins have no labels.

    Args:
        axes: the panel to draw into.
        histogram: the histogram of the inputs of each channel.
        low: left end of the input axis.
        high: right end of the input axis.
    """
    middles, counts = histogram.points()[0].cpu(), histogram.counts.cpu().double()
    edges = torch.linspace(low, high, _BINS + 1, dtype=torch.float64)
    bins = torch.bucketize(middles, edges, right=True).flatten()
    heights = torch.bincount(bins, counts.flatten(), minlength=_BINS + 2)[1:-1]
    input_axes = axes.twinx()
    input_axes.stairs(heights.numpy(), edges.numpy(), fill=True, color=INPUTS_COLOR, label="inputs")
    input_axes.set_yticks([])
    # The axes of the curves must lie above the histogram and be transparent.
    axes.set_zorder(input_axes.get_zorder() + 1)
    axes.patch.set_visible(False)


def add_legend(figure: Figure) -> None:
    """Add a legend below the panels, with one entry for each kind of line.

    A figure with one column of panels has two entries in a row, and a wider figure has four.
    """
    lines = (line for axes in figure.axes for line in axes.get_legend_handles_labels()[0])
    handles = {line.get_label(): line for line in lines}
    columns = 2 if figure.get_figwidth() < 2 * _PANEL_WIDTH else 4
    figure.legend(
        handles=list(handles.values()), loc="outside lower center", ncols=columns, fontsize=8
    )
