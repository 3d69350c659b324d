"""Synthetic data sets: function values for regression, and images of shapes for detection."""

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
"""Number of test points. For functions of two inputs, the points are a grid of 101 x 101."""


class TargetFunction(NamedTuple):
    """A function that a network learns to approximate.

    Attributes:
        formula: text with the formula and the domain.
        evaluate: function that maps points `(N, inputs)` to values `(N,)`.
        low: smallest value of every input in the domain.
        high: largest value of every input in the domain.
        inputs: number of inputs, 1 or 2.
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
"""Target functions by the name of their data set.

Sources: Rosenbrock, "An automatic method for finding the greatest or least value of a function"
(The Computer Journal, 1960); Franke, "Scattered data interpolation: tests of some methods"
(Mathematics of Computation, 1982)."""


def sample_function(name: str) -> TrainTestSplit:
    """Return a regression data set with the values of a function, without noise.

    The training split has 2,048 random points, the same at every call. The test split has 10,201
    points on a regular grid, which includes the bounds of the domain.

    Args:
        name: a name in `FUNCTIONS`.
    """
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
    """Return a detection data set of images with discs and squares.

    Each image is 64 pixels wide and 48 pixels high. It contains one to four bright shapes on a
    noisy background. Shapes can overlap. The images are the same at every call. The first three
    quarters of the images are the training split.

    Args:
        count: number of images in both splits together.

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
    """Return an image `(3, H, W)` in uint8 and its targets `(4, 5)`.

    A row of the targets contains the class, left, top, right and bottom of a shape, in pixels.
    Unused rows contain `PADDING`.
    """
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
"""Functions that compute the synthetic data sets, by name. No files are needed."""
