"""Draws the curves of a model as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hinged.curve import Curve
from hinged.model.display.panels import (
    add_legend,
    check_example_count,
    draw_panel,
    make_panels,
    panel_title,
)
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.layer_statistics import LayerStatistics, collect_custom_statistics
from hinged.nn import curve_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CALL = "hinged.plot"


def plot(
    model: nn.Module,
    data: Any = None,
    *,
    examples: int = 3,
    call: CallModel | None = None,
    batches: int | None = None,
) -> Figure:
    """Draw the curves of a model over the histogram of their inputs, with one panel for each layer.

    The panels of a converted model are in the order of the forward pass.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges. A panel shows the median over the channels, a
    band that contains 90 % of the channels, and some single channels. Ticks mark the hinges. The
    panel extends beyond the range (first and last hinge) by a tenth of its width on both sides.

    Args:
        model: any module with `PiecewiseLinear` layers. It is not changed.
        data: one batch, or an iterable of batches, in any form that `hinged.convert` takes. The
            model runs over it once. With None, no histograms
            are drawn.
        examples: the number of single channels to draw in each panel, 0 or more. The first is the
            channel that is farthest from the median, and the last is the nearest.
        call: a function that calls the model with a batch, as in `hinged.convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `matplotlib.figure.Figure`. Its method `savefig("curves.png")` writes a file. A notebook
        shows the figure.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        ArgumentError: if the model has no curves, `data` has no batches, or `examples` is below 0.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> figure = hinged.plot(model, torch.zeros(100, 2))
    >>> figure.axes[0].get_title()
    '1\\n8 channels, 0.0 % outside'
    """
    check_example_count(CALL, examples)
    layers = curve_layers(model, CALL)
    statistics = {}
    if data is not None:
        given = Batches(data, CALL, call, batches)
        statistics = collect_custom_statistics(model, given, LayerStatistics.of)
    figure, panels = make_panels(len(layers))
    for axes, (name, layer) in zip(panels, layers.items(), strict=True):
        curve, found = layer.curve().snapshot(torch.float64), statistics.get(name)
        draw_panel(axes, curve, None if found is None else found.histogram, examples)
        axes.set_title(panel_title(name, _facts(curve, found, data is not None)), fontsize=8)
    add_legend(figure)
    return figure


def _facts(curve: Curve, found: LayerStatistics | None, has_data: bool) -> str:
    count = f"{curve.channels} channel{'s' * (curve.channels != 1)}"
    if found is None:
        return f"{count}, no inputs" if has_data else count
    return f"{count}, {100 * found.lines.pooled().share_outside.item():.1f} % outside"
