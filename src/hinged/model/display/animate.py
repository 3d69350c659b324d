"""Animates the curves of a model through its training."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

import torch

from hinged import errors
from hinged.curve import Curve
from hinged.model.display.panels import (
    add_legend,
    check_example_count,
    draw_panel,
    make_panels,
    panel_title,
)
from hinged.model.observation.history import History

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.artist import Artist

CALL = "hinged.animate"


def animate(history: History, *, examples: int = 3, interval: float = 200.0) -> FuncAnimation:
    """Animate the curves that were recorded during training, with one panel for each layer.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges. A panel shows the median over the channels, a
    band that contains 90 % of the channels, and some single channels. The axes of a panel have the
    same limits at all steps.

    Args:
        history: the curves at several steps of the training, in a `hinged.History`.
        examples: the number of single channels to draw in each panel, 0 or more.
        interval: the time from one recorded step to the next, in milliseconds.

    Returns:
        A `matplotlib.animation.FuncAnimation`. Its method `save("curves.gif")` writes a file;
        `"curves.mp4"` needs ffmpeg. Its method `to_jshtml()` returns a page with a slider, which a
        notebook shows with `IPython.display.HTML`.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        ArgumentError: if `history` is not a `History` or is empty, if `examples` is below 0, or
            if `interval` is not above 0.

    >>> import hinged, torch
    >>> layer, history = hinged.PiecewiseLinear(8), hinged.History()
    >>> for _ in range(3):
    ...     history.record(layer)
    ...     _ = torch.nn.init.normal_(layer.values)
    >>> "<input" in hinged.animate(history).to_jshtml()
    True
    """
    check_example_count(CALL, examples)
    _check_interval(interval)
    _check_history(history)
    figure, panels = make_panels(len(history.layers))
    from matplotlib.animation import FuncAnimation

    frames = [
        {name: curve.snapshot(torch.float64) for name, curve in frame.items()}
        for frame in history.frames
    ]
    limits = {name: _limits([frame[name] for frame in frames]) for name in history.layers}

    def draw_frame(number: int) -> list[Artist]:
        for axes, (name, curve) in zip(panels, frames[number].items(), strict=True):
            axes.clear()
            draw_panel(axes, curve, None, examples)
            axes.set(xlim=limits[name][0], ylim=limits[name][1])
            axes.set_title(panel_title(name, f"step {history.steps[number]}"), fontsize=8)
        return list(panels)

    draw_frame(0)
    add_legend(figure)
    return FuncAnimation(figure, draw_frame, frames=len(frames), interval=interval, repeat=False)


def _check_interval(interval: float) -> None:
    is_number = isinstance(interval, Real) and not isinstance(interval, bool)
    if not (is_number and 0 < interval < math.inf):
        hint = "expected a number of milliseconds above 0"
        got = errors.shown(interval)
        raise errors.ArgumentError(errors.message(f"{CALL}(interval=...)", got, hint))


def _check_history(history: History) -> None:
    if not isinstance(history, History):
        got = errors.class_of(history)
        hint = "expected a hinged.History, whose method record(model, step) records the curves"
        raise errors.ArgumentError(errors.message(f"{CALL}(history)", got, hint))
    if not history.frames:
        hint = "call history.record(model, step) during the training to record curves"
        raise errors.ArgumentError(errors.message(f"{CALL}(history)", "an empty history", hint))


def _limits(curves: list[Curve]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return axis limits that show all curves from the first to the last hinge, with a margin.

    Returns:
        The limits `(left, right)` of the input axis and `(bottom, top)` of the output axis.
    """
    low = min(curve.hinges.min().item() for curve in curves)
    high = max(curve.hinges.max().item() for curve in curves)
    bottom = min(curve.values.min().item() for curve in curves)
    top = max(curve.values.max().item() for curve in curves)
    x, y = 0.1 * (high - low), 0.1 * (top - bottom) or 1.0
    return (low - x, high + x), (bottom - y, top + y)
