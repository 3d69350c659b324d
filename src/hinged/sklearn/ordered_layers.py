"""Layers whose outputs, in evaluation mode, keep the order of their inputs in spite of rounding.

A sum of increasing functions is increasing, but a computed sum need not be: a fast matrix product
adds numbers in an order that depends on the place of a row in the batch, so that equal sums differ
in their last digit. Here each row is computed in the same order of operations. One addition or
multiplication in floating point keeps the order of its operands, so the whole computation does too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hinged.curve import Curve
from hinged.nn import PiecewiseLinear


class WeightSigns(nn.Module):
    """The allowed signs of the weights of a linear layer.

    Args:
        free: whether a weight may have any sign, `(outputs, inputs)`.
        positive: whether a weight is at least 0. It is the absolute value of the trained parameter.
            A weight that is neither free nor positive is 0.
    """

    free: Tensor
    positive: Tensor

    def __init__(self, free: Tensor, positive: Tensor) -> None:
        super().__init__()
        self.register_buffer("free", free.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("positive", positive.to(torch.get_default_dtype()), persistent=False)

    def forward(self, parameter: Tensor) -> Tensor:
        """Return the weights, `(..., outputs, inputs)`, for trained parameters of this shape."""
        return parameter * self.free + parameter.abs() * self.positive


class OrderedLinear(nn.Linear):
    """A linear layer, some of whose weights are at least 0 and some of whose weights are 0.

    Args:
        signs: the allowed signs of its weights.
    """

    def __init__(self, signs: WeightSigns) -> None:
        outputs, inputs = signs.free.shape
        super().__init__(inputs, outputs)
        self.signs = signs

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs, `(rows, outputs)`, for the inputs, `(rows, inputs)`."""
        weight: Tensor = self.signs(self.weight)
        if self.training:
            return functional.linear(input, weight, self.bias)
        total = self.bias.expand(len(input), -1)
        for column, weights in zip(input.unbind(1), weight.unbind(1), strict=True):
            total = total + column[:, None] * weights
        return total


class OrderedCurves(PiecewiseLinear):
    """A `PiecewiseLinear` layer for inputs `(rows, channels)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, `(rows, channels)`."""
        return super().forward(x) if self.training else evaluate_in_order(x, self.curve())


def evaluate_in_order(x: Tensor, curve: Curve) -> Tensor:
    """Return the outputs of curves with linear or constant tails, without falls due to rounding.

    Each output on a piece is between the values at the ends of the piece. So an increasing curve
    has increasing outputs also where one piece follows the other.

    Args:
        x: the inputs, `(rows, channels)`.
        curve: the curves.

    >>> curve = Curve(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([[0.0, 2.0, 2.0]]))
    >>> evaluate_in_order(torch.tensor([[-1.0], [0.5], [4.0]]), curve).ravel().tolist()
    [-2.0, 1.0, 2.0]
    """
    values, columns = curve.values.detach(), x.T.contiguous()
    hinges = curve.hinges.expand_as(values).contiguous()
    count = hinges.shape[1]
    slopes = values.diff() / hinges.diff()
    tail = 0.0 if curve.tails == "constant" else 1.0
    lines = torch.cat([tail * slopes[:, :1], slopes, tail * slopes[:, -1:]], dim=1)
    line = torch.searchsorted(hinges, columns, right=True)
    left, right = (line - 1).clamp(min=0), line.clamp(max=count - 1)
    start, end = values.gather(1, left), values.gather(1, right)
    y = start + lines.gather(1, line) * (columns - hinges.gather(1, left))
    inside = y.clamp(torch.minimum(start, end), torch.maximum(start, end))
    return torch.where((line > 0) & (line < count), inside, y).T


def mean_in_order(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of the same shape, each element added in the same order."""
    return sum(tensors[1:], start=tensors[0]) / len(tensors)


_STEPS_OF_LOGIT = 2.0**32


def sigmoid_in_order(logits: Tensor) -> Tensor:
    """Return `1 / (1 + exp(-logits))`, without falls due to rounding.

    The logits are rounded to multiples of 2^-32. The exponentials of two different multiples then
    differ much more than any exponential function errs.

    >>> sigmoid_in_order(torch.tensor([0.0, 40.0], dtype=torch.float64)).tolist()
    [0.5, 1.0]
    """
    rounded = (logits * _STEPS_OF_LOGIT).round() / _STEPS_OF_LOGIT
    return 1 / (1 + torch.exp(-rounded))
