"""Synthetic data: functions to approximate, and images of shapes to detect."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Detection, Regression
from hinged.lab.problems.detection import PADDING

_TRAIN = 2048
_TEST_POINTS = 10_201
"""Number of points on a line, or 101 x 101 in a square."""


class TargetFunction(NamedTuple):
    """A function to approximate.

    Attributes:
        formula: the formula and domain as text.
        evaluate: maps points `(N, inputs)` to values `(N,)`.
        low: smallest value of every input.
        high: largest value of every input.
        inputs: number of inputs.
    """

    formula: str
    evaluate: Callable[[Tensor], Tensor]
    low: float
    high: float
    inputs: int


def _sine(x: Tensor) -> Tensor:
    return x[:, 0].sin()


def _chirp(x: Tensor) -> Tensor:
    return (2 * math.pi * x[:, 0] * (1 + 3 * x[:, 0])).sin()


def _rosenbrock(x: Tensor) -> Tensor:
    a, b = x.unbind(dim=1)
    return (1 - a).square() + 100 * (b - a.square()).square()


def _franke(x: Tensor) -> Tensor:
    a, b = (9 * x).unbind(dim=1)
    return (
        0.75 * (-((a - 2).square() + (b - 2).square()) / 4).exp()
        + 0.75 * (-(a + 1).square() / 49 - (b + 1) / 10).exp()
        + 0.5 * (-((a - 7).square() + (b - 3).square()) / 4).exp()
        - 0.2 * (-(a - 4).square() - (b - 7).square()).exp()
    )


FUNCTIONS = {
    "sine": TargetFunction("sin(x), x from -2 pi to 2 pi", _sine, -2 * math.pi, 2 * math.pi, 1),
    "chirp": TargetFunction("sin(2 pi x (1 + 3 x)), x from 0 to 1", _chirp, 0.0, 1.0, 1),
    "rosenbrock": TargetFunction(
        "(1 - x)^2 + 100 (y - x^2)^2, x and y from -2 to 2", _rosenbrock, -2.0, 2.0, 2
    ),
    "franke": TargetFunction("Franke's function, x and y from 0 to 1", _franke, 0.0, 1.0, 2),
}
"""Sources: Rosenbrock, "An automatic method for finding the greatest or least value of a function"
(The Computer Journal, 1960); Franke, "Scattered data interpolation: tests of some methods"
(Mathematics of Computation, 1982)."""


def sample_function(name: str) -> TrainTestSplit:
    """Return values of a function without noise: 2,048 random points to train on, the same at every
    call, and a grid of 10,201 points to test on that includes the ends of the domain."""
    function = FUNCTIONS[name]
    generator = torch.Generator().manual_seed(0)
    unit = torch.rand(_TRAIN, function.inputs, generator=generator, dtype=torch.float64)
    side = round(_TEST_POINTS ** (1 / function.inputs))
    line = torch.linspace(0, 1, side, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * function.inputs).reshape(-1, function.inputs)
    train, test = (function.low + (function.high - function.low) * each for each in (unit, grid))
    about = (
        f"{function.formula}; {len(train):,} random points to train on, a grid of {len(test):,} "
        "to test on"
    )
    y_train, y_test = (function.evaluate(each).unsqueeze(1) for each in (train, test))
    return TrainTestSplit(about, train, y_train, test, y_test, Regression(1))


SHAPES = ("disc", "square")
_SHAPES_SIZE = (48, 64)
_RADII = (4, 9)
_MOST_SHAPES = 4


def draw_shapes(count: int = 512) -> TrainTestSplit:
    """Return images of 64 x 48 pixels with one to four bright discs and squares, which may overlap,
    on a noisy background. The first three quarters are to train on.

    >>> split = draw_shapes(8)
    >>> split.x_train.shape, split.y_train.shape
    (torch.Size([6, 3, 48, 64]), torch.Size([6, 4, 5]))
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [_draw_image(generator) for _ in range(count)]
    x, y = (torch.stack(each) for each in zip(*drawn, strict=True))
    n = count * 3 // 4
    about = (
        f"images made by the computer, 64 x 48, with boxes of the discs and squares on them; "
        f"{n:,} to train on and {count - n:,} to test on"
    )
    return TrainTestSplit(about, x[:n], y[:n], x[n:], y[n:], Detection(SHAPES, _SHAPES_SIZE))


def _draw_image(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return an image `(3, H, W)` and its targets `(4, 5)`."""
    draw = partial(_draw_integer, generator)
    height, width = _SHAPES_SIZE
    image = torch.randint(0, 64, (3, height, width), generator=generator, dtype=torch.uint8)
    targets = torch.full((_MOST_SHAPES, 5), PADDING)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for index in range(draw(1, _MOST_SHAPES + 1)):
        label, radius = draw(0, len(SHAPES)), draw(*_RADII)
        centre_x, centre_y = draw(radius, width - radius), draw(radius, height - radius)
        across, down = (x - centre_x).abs(), (y - centre_y).abs()
        inside = across.hypot(down) if label == 0 else across.maximum(down)
        colour = torch.randint(96, 256, (3, 1), generator=generator, dtype=torch.uint8)
        image[:, inside <= radius] = colour
        corners = (centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius)
        targets[index] = torch.tensor((label, *corners))
    return image, targets


def _draw_integer(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (), generator=generator))


SYNTHETIC: dict[str, Callable[[], TrainTestSplit]] = {
    **{name: partial(sample_function, name) for name in FUNCTIONS},
    "shapes": draw_shapes,
}
"""The reader of each data set. They need neither a folder nor a download."""
