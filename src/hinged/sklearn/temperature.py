"""The temperature that makes predicted probabilities as sure as they are right."""

from __future__ import annotations

import math

from scipy.optimize import minimize_scalar
from torch import Tensor

from hinged.sklearn.samples import LossOfRows, Samples

_LOG_RANGE = (-4.0, 4.0)
_PRIOR_STD = 0.5
"""Standard deviation of a normal prior on the logarithm of the temperature. It matters only with
few validation rows: a network that is right in all of them would ask for the temperature 0."""


def fit_temperature(outputs: Tensor, samples: Samples, loss_of_rows: LossOfRows) -> float:
    """Return the temperature `T` for which `outputs / T` have the least loss on samples.

    The class with the largest output stays the same.

    Args:
        outputs: outputs of a network for the samples, `(rows, classes)`.
        samples: the samples, which the network was not trained on.
        loss_of_rows: the negative log-likelihood.

    Source: Guo et al., "On calibration of modern neural networks" (ICML 2017).

    >>> import torch
    >>> from hinged.sklearn.losses import cross_entropy
    >>> targets = torch.arange(10000) % 2
    >>> right = torch.arange(10000) % 10 < 8
    >>> sign = torch.where((targets == 1) == right, 1.0, -1.0)
    >>> outputs = torch.stack([-5 * sign, 5 * sign], dim=1)  # sure, but right in 80 % of the rows
    >>> samples = Samples(None, targets, torch.ones(10000))
    >>> T = fit_temperature(outputs, samples, cross_entropy)
    >>> round(torch.softmax(outputs / T, dim=1).max().item(), 2)
    0.8
    """
    outputs = outputs.double()

    def loss(log_temperature: float) -> float:
        losses = loss_of_rows(outputs / math.exp(log_temperature), samples.targets)
        prior = log_temperature**2 / (2 * _PRIOR_STD**2 * len(samples))
        return float(samples.mean(losses)) + prior

    return math.exp(minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded").x)
