"""The rule that tells which units of a layer are dormant."""

from __future__ import annotations

from torch import Tensor

DORMANT_THRESHOLD = 0.025
"""The threshold that the source of the rule uses."""


def dormant_units(mean_sizes: Tensor, threshold: float = DORMANT_THRESHOLD) -> Tensor:
    """Return which units have a mean absolute output of at most `threshold` times the layer's mean.

    Source: Sokar, Agarwal, Castro and Evci, "The dormant neuron phenomenon in deep reinforcement
    learning" (ICML 2023).

    Args:
        mean_sizes: the mean absolute output of each unit, shape `(C,)`.
        threshold: share of the mean over all units of the layer.

    Returns:
        Shape `(C,)`, bool.

    >>> import torch
    >>> dormant_units(torch.tensor([1.0, 0.01, 2.0]))
    tensor([False,  True, False])
    """
    return mean_sizes <= threshold * mean_sizes.mean()
