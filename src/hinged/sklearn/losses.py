"""The losses of the estimators, for each row of a table."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, averaged over the outputs, `(rows,)`.

    Args:
        outputs: outputs of the network, `(rows, outputs)`.
        targets: the numbers to predict, `(rows, outputs)`.

    >>> import torch
    >>> squared_error(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]))
    tensor([2.5000])
    """
    return (outputs - targets).square().mean(dim=1) / 2


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of the classes, `(rows,)`.

    Args:
        outputs: one output for each class, `(rows, classes)`.
        targets: the number of the class of each row, `(rows,)`.

    >>> import torch
    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([1]))
    tensor([0.6931])
    """
    return F.cross_entropy(outputs, targets, reduction="none")


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood of several labels, summed over the labels, `(rows,)`.

    Args:
        outputs: one output for each label, `(rows, labels)`.
        targets: 1 for each label that the row has, and 0 for the others, `(rows, labels)`.

    >>> import torch
    >>> binary_cross_entropy(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([1.3863])
    """
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(dim=1)
