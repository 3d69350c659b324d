"""Decides which units of a layer are dormant, that is, have much smaller outputs than others."""

from __future__ import annotations

from torch import Tensor

DORMANT_THRESHOLD = 0.025
"""The default threshold, from the paper in the docstring of `dormant_units`.

It is a fraction of the mean absolute output over all units of a layer.
"""


def dormant_units(mean_sizes: Tensor, threshold: float = DORMANT_THRESHOLD) -> Tensor:
    """Return whether each unit of a layer is dormant, shape `(C,)`, bool.

    A unit is dormant if its mean absolute output is at most `threshold` times the mean over all
    units.

    Source: Sokar, Agarwal, Castro and Evci, "The dormant neuron phenomenon in deep reinforcement
    learning" (ICML 2023).

    Args:
        mean_sizes: the mean absolute output of each unit, shape `(C,)`.
        threshold: a fraction of the mean absolute output over all units.

    >>> import torch
    >>> dormant_units(torch.tensor([1.0, 0.01, 2.0]))
    tensor([False,  True, False])
    """
    return mean_sizes <= threshold * mean_sizes.mean()
