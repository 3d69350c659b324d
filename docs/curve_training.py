"""Draws the picture of docs/curve-training.md: one curve fitted to few data, in two ways.

Run it with: python docs/curve_training.py
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import mse_loss

import hinged
from hinged.lab.reporting.plots import hide_top_and_right, to_svg
from hinged.nn.parameter_groups import SMOOTHING

PICTURE = Path(__file__).parent / "curve-training.svg"
HINGES = (9, 33)
WAYS = {"Adam": None, "the metric": SMOOTHING}
"""The setting `smoothing` of each way to train."""
COLOURS = {"Adam": "#0369a1", "the metric": "#c2410c"}
GREY, DARK = "#94a3b8", "#334155"
SAMPLES, STEPS, LR, NOISE = 60, 200, 0.006, 0.4
GRID = torch.linspace(-3, 3, 601)


def truth(x: Tensor) -> Tensor:
    """Return the function that the samples follow."""
    return torch.sin(1.2 * x) + 0.5 * x.clamp(min=0)


def samples() -> tuple[Tensor, Tensor]:
    """Return inputs, most of them near 0, and noisy outputs, both of shape `(SAMPLES, 1)`."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(SAMPLES, 1, generator=generator).clamp(-2.9, 2.9)
    return x, truth(x) + NOISE * torch.randn(SAMPLES, 1, generator=generator)


def trained_curve(hinges: int, smoothing: float | None) -> Tensor:
    """Return the outputs at `GRID` of a curve that was trained without a pull to its start."""
    x, y = samples()
    layer = hinged.PiecewiseLinear(1, hinges=hinges)
    groups = hinged.param_groups(layer, LR, smoothing=smoothing, curve_decay=0)
    optimizer = torch.optim.Adam(groups)
    for _ in range(STEPS):
        optimizer.zero_grad()
        mse_loss(layer(x), y).backward()
        optimizer.step()
    return layer(GRID[:, None]).detach()[:, 0]


def error(outputs: Tensor) -> float:
    """Return the root mean square of the errors of a curve, without noise, over many new inputs."""
    weights = torch.exp(-(GRID**2) / 2)
    squares = (outputs - truth(GRID)).square()
    return math.sqrt((weights * squares).sum() / weights.sum())


def heading(hinges: int, errors: list[float]) -> str:
    """Return the text above a panel. The errors are those of Adam and of the metric."""
    adam, metric = errors
    return f"{hinges} hinges. Error: {adam:.2f} by Adam, {metric:.2f} in the metric"


def draw() -> Figure:
    """Return the picture, with a panel for each number of hinges."""
    figure, panels = plt.subplots(
        2, 1, figsize=(5.2, 6.2), sharex=True, sharey=True, layout="constrained"
    )
    for axes, hinges in zip(panels, HINGES, strict=True):
        _draw_panel(axes, hinges)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=3, frameon=False)
    panels[-1].set_xlabel("input x; the marks are the hinges")
    return hide_top_and_right(figure)


def _draw_panel(axes: Axes, hinges: int) -> None:
    x, y = samples()
    axes.plot(x[:, 0], y[:, 0], "o", color=GREY, alpha=0.6, markersize=4, label="samples")
    axes.plot(GRID, truth(GRID), "--", color=DARK, linewidth=1.2, label="true function")
    axes.plot(GRID, GRID.relu(), color=GREY, linewidth=1, label="start: ReLU")
    outputs = {way: trained_curve(hinges, smoothing) for way, smoothing in WAYS.items()}
    for way, line in outputs.items():
        axes.plot(GRID, line, color=COLOURS[way], linewidth=1.8, label=way)
    axes.set_ylim(-2.4, 3.2)
    axes.plot(torch.linspace(-3, 3, hinges), [-2.2] * hinges, "|", color=DARK, markersize=6)
    errors = [error(line) for line in outputs.values()]
    axes.set_title(heading(hinges, errors), loc="left", fontsize=10)
    axes.set_ylabel("output y")


if __name__ == "__main__":
    PICTURE.write_text(to_svg(draw()))
