"""The metric of curves: how long a change of a curve is, as a change of a function.

Gradient descent needs a measure of length for changes of the values at the hinges. Without a
metric, each value counts by itself. A value at a hinge with few inputs then moves as far as one
with many inputs, and the steps of the function grow with the number of hinges. In the metric, the
squared length of a change `f` of a curve is

    E[f(x)^2] + smoothing * s^3 * integral of f''(x)^2 dx

where `x` are the inputs of the curve and `s` is their scale (`input_scale`). The first part is the
mean square of the change of the outputs. Each input counts once in it, even if the loss gives
weights to samples. The second part is the penalty of smoothing splines. Where a curve has many
inputs, it moves freely. Where it has few, its change goes on in a straight line. The length does
not depend on the unit of the inputs, and hardly on the number of hinges. In terms of the values, it
is a quadratic form with the matrix

    A = E[phi phi^T] + smoothing * s^3 * R

where `phi(x)` are the weights `(1 - t, t)` of the two hinges next to `x` in the output, and `R` is
the result of `roughness`. `A` has five diagonals. The step of steepest descent in the metric is
`A^-1 g`, where `g` is the gradient of the loss with respect to the values.

Sources: Reinsch, "Smoothing by spline functions" (1967) for the penalty; Amari, "Natural gradient
works efficiently in learning" (1998) and Neuberger, "Sobolev gradients and differential equations"
(1997) for gradients in a metric; Zhang et al., "Adam-mini" (2024) for one step size for a block of
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-4
"""A number that is added to the diagonal of the metric. It makes the metric invertible for curves
without inputs, and limits the slopes of curves whose inputs hardly vary, for example after a layer
that starts with weights of 0. With 1e-6, slopes there rose to 16 in 20 steps; with 1e-3, a CNN on
images lost 0.7 points."""


class MetricState(NamedTuple):
    """What training in the metric keeps of the curves of a layer. The tensors change in place.

    Attributes:
        direction: the running mean of the directions `A^-1 g`, shape `(C, K)`.
        size: the running mean of the squared lengths `g^T A^-1 g`, shape `(C,)`.
        largest: the largest `size` of all steps, with the bias correction of Adam, shape `(C,)`.
        moments: the running mean of the results of `input_moments`, shape `(C, 2 K + 1)`.
        start: the values from which training started, shape `(C, K)`.
    """

    direction: Tensor
    size: Tensor
    largest: Tensor
    moments: Tensor
    start: Tensor


@dataclass(slots=True)  # A frozen dataclass takes three times as long to create.
class MetricStep:
    """The settings of one step in the metric.

    Attributes:
        rate: the learning rate: the length of the step, relative to the scale of the inputs, if all
            gradients are equal.
        smoothing: the factor of the roughness in the metric.
        decay: how fast the values return to `start`: by up to `rate * decay` of their distance in a
            step (see `take_step`).
        keep_direction: the part of the old running mean of directions that is kept.
        keep_size: the part of the old running mean of squared lengths that is kept.
        count: the number of this step, from 1. It corrects the bias of the running means.
    """

    rate: float
    smoothing: float
    decay: float = 0.0
    keep_direction: float = 0.9
    keep_size: float = 0.99
    count: int = 1

    @property
    def direction_correction(self) -> float:
        """The number by which the running mean of directions is divided, as in Adam."""
        return 1.0 - self.keep_direction**self.count

    @property
    def size_correction(self) -> float:
        """The number by which the running mean of squared lengths is divided, as in Adam."""
        return 1.0 - self.keep_size**self.count

    @property
    def pull(self) -> float:
        """The largest part of the distance to `start` that the step takes away."""
        return min(1.0, self.rate * self.decay)


def input_moments(rows: Tensor, hinges: Tensor, tails: str = "linear") -> Tensor:
    """Return the means of products of hinge weights, and the means of the inputs and their squares.

    An input `x` gives the two hinges next to it the weights `phi = (1 - t, t)`: the derivative of
    the output with respect to their values. Outside the range, linear tails continue the first and
    the last piece, with `t` below 0 or above 1. With other tails, the nearest hinge has the weight
    1. Inputs that are not finite are left out.

    Args:
        rows: inputs of each channel, shape `(C, n)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        tails: the tails of the curves.

    Returns:
        A tensor of shape `(C, 2 K + 1)`, in float32, or float64 if `rows` is in float64. Its
        columns are the `K` means of `phi_k^2`, the `K - 1` means of `phi_k phi_(k+1)`, the mean of
        the inputs and the mean of their squares. A channel without finite inputs has zeros.

    >>> input_moments(torch.tensor([[0.5, 2.0]]), torch.tensor([0.0, 1.0]))
    tensor([[ 0.6250,  2.1250, -0.8750,  1.2500,  2.1250]])
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    weight = rows.isfinite()
    rows = rows.masked_fill(~weight, 0.0).contiguous()
    weight = weight.to(rows.dtype)
    positions = hinges.to(rows).expand(len(rows), -1).contiguous()
    size = positions.shape[1]
    piece = torch.searchsorted(positions, rows, right=True).sub_(1).clamp_(0, size - 2)
    left, right = positions.gather(1, piece), positions.gather(1, piece + 1)
    t = (rows - left) / (right - left)
    if tails != "linear":
        t = t.clamp_(0, 1)
    sums = rows.new_zeros(len(rows), 2 * size + 1)
    sums.scatter_add_(1, piece, weight * (1 - t) ** 2)
    sums.scatter_add_(1, piece + 1, weight * t**2)
    sums.scatter_add_(1, piece + size, weight * t * (1 - t))
    sums[:, -2] = rows.sum(dim=1)
    sums[:, -1] = rows.square().sum(dim=1)
    return sums / weight.sum(dim=1, keepdim=True).clamp_(min=1)


def update_moments(mean: Tensor, moments: Tensor, weight: float) -> None:
    """Move the running mean of moments, in place, by a part of the distance to new moments.

    Channels without finite inputs keep their mean. All channels do if a number is infinite.

    Args:
        mean: the running mean, shape `(C, 2 K + 1)`.
        moments: a result of `input_moments`, or a mean of several.
        weight: the part of the distance, from 0 to 1.

    >>> mean = torch.tensor([[0.0, 1.0, 0.0, 0.5, 0.5], [1.0, 0.0, 0.0, 0.0, 0.0]])
    >>> update_moments(mean, torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 5]), 0.5)
    >>> mean
    tensor([[0.5000, 0.5000, 0.0000, 0.2500, 0.2500],
            [1.0000, 0.0000, 0.0000, 0.0000, 0.0000]])
    """
    usable = moments.isfinite().all() & (moments[:, :-2] > 0).any(dim=1, keepdim=True)
    mean.copy_(torch.where(usable, mean.lerp(moments.to(mean), weight), mean))


def evenly_spread_moments(hinges: Tensor, channels: int) -> Tensor:
    """Return the moments of inputs that are spread evenly from the first to the last hinge.

    They serve until inputs are measured. `hinges` has shape `(K,)` or `(C, K)`. The result has
    shape `(C, 2 K + 1)`.
    """
    first, last = hinges[..., :1], hinges[..., -1:]
    places = torch.linspace(0, 1, 32 * hinges.shape[-1], dtype=hinges.dtype, device=hinges.device)
    rows = torch.atleast_2d(first + (last - first) * places)
    return input_moments(rows, hinges).repeat(channels // len(rows), 1)


def input_scale(moments: Tensor, hinges: Tensor) -> Tensor:
    """Return the scale `s` of the inputs of a layer, a scalar tensor in float64.

    It is the standard deviation of the inputs, or an eighth of the range of the hinges if that is
    larger. The variances of the channels, and their ranges, are averaged. The inputs of a deep
    network are often much smaller at the start of training than later. The range then tells what to
    expect.

    Args:
        moments: a result of `input_moments`, shape `(C, 2 K + 1)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.

    >>> hinges = torch.tensor([0.0, 1.0])
    >>> input_scale(input_moments(torch.tensor([[-1.0, 1.0]]), hinges), hinges)
    tensor(1., dtype=torch.float64)
    """
    mean, square = moments[:, -2].double(), moments[:, -1].double()
    deviation = (square - mean * mean).clamp_(min=0).mean().sqrt()
    width = (hinges[..., -1] - hinges[..., 0]).double().mean()
    return torch.maximum(deviation, width / 8)


def roughness(hinges: Tensor) -> Tensor:
    """Return the matrix `R` of the integral of the squared second derivative.

    The second derivative at an inner hinge is the change of slope there, divided by the mean width
    of the two pieces next to it.

    Args:
        hinges: ascending positions, shape `(..., K)`.

    Returns:
        A tensor of shape `(..., K, K)`. For values `v`, the integral is `v^T R v`.

    >>> roughness(torch.tensor([0.0, 1.0, 2.0]))
    tensor([[ 1., -2.,  1.],
            [-2.,  4., -2.],
            [ 1., -2.,  1.]])
    """
    widths = hinges.diff(dim=-1)
    identity = torch.eye(hinges.shape[-1], dtype=hinges.dtype, device=hinges.device)
    bends = (identity.diff(dim=0) / widths[..., None]).diff(dim=-2)
    spans = (widths[..., 1:] + widths[..., :-1]) / 2
    return bends.mT @ (bends / spans[..., None])


def metric_matrix(moments: Tensor, hinges: Tensor, smoothing: float) -> Tensor:
    """Return the metric `A` of each channel, shape `(C, K, K)`, in float64.

    Args:
        moments: a result of `input_moments`, shape `(C, 2 K + 1)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        smoothing: the factor of the roughness.

    >>> h = torch.tensor([0.0, 1.0])
    >>> moments = input_moments(torch.tensor([[0.0, 0.5]]), h)
    >>> metric_matrix(moments, h, smoothing=0.1).round(decimals=3)
    tensor([[[0.6250, 0.1250],
             [0.1250, 0.1250]]], dtype=torch.float64)
    """
    size = hinges.shape[-1]
    moments = moments.double()
    beside = moments[:, size : 2 * size - 1]
    data = torch.diag_embed(moments[:, :size] + FLOOR)
    data += torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    return data + smoothing * input_scale(moments, hinges) ** 3 * roughness(hinges.double())


@torch.no_grad()
def take_step(
    values: Tensor, grad: Tensor, hinges: Tensor, state: MetricState, step: MetricStep
) -> None:
    """Take one step of gradient descent in the metric. `values` and `state` change in place.

    With `u` the running mean of the directions `A^-1 g`, and `q` the running mean of the squared
    lengths `g^T A^-1 g`, both with the bias correction of Adam, the change is

        values -= rate * s * u / sqrt(q) + rate * decay * q / max(q) * (values - start)

    There is one `q` for each channel, so that a hinge with few inputs takes a small step. `max(q)`
    is the largest `q` of all steps so far. In a network that has learned, `q` is mostly noise, so
    the pull to the start is strong where the loss stays noisy, and fades where the network fits its
    data. A Bayesian prior does the same: its weight is proportional to the variance of the noise.

    Args:
        values: values at the hinges, shape `(C, K)`.
        grad: gradient of the loss with respect to `values`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        state: the running means.
        step: the settings.
    """
    factors = torch.linalg.cholesky_ex(metric_matrix(state.moments, hinges, step.smoothing)).L
    solution = torch.cholesky_solve(grad.double()[..., None], factors)[..., 0]
    length = (grad.double() * solution).sum(dim=1)
    state.direction.lerp_(solution.to(state.direction), 1 - step.keep_direction)
    state.size.lerp_(length.to(state.size), 1 - step.keep_size)
    mean = state.size.double() / step.size_correction
    found = mean.to(state.largest)
    state.largest.copy_(torch.where(found.isfinite(), found, 0.0).maximum(state.largest))
    largest = state.largest.double()
    noise = torch.where(largest > 0, (mean / largest).clamp(max=1.0), 1.0)[:, None]
    root = mean.sqrt()
    length = step.rate * input_scale(state.moments, hinges) / (root * step.direction_correction)
    factor = torch.where(root > 0, length, 0.0)[:, None]
    pulled = values.double().lerp(state.start.double(), step.pull * noise)
    values.copy_(pulled - factor * state.direction.double())
