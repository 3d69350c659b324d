"""Boxes `(left, top, right, bottom)`: overlap, and leaving out what overlaps a better one."""

from __future__ import annotations

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """Return the areas `(...)` of boxes `(..., 4)`; 0 where the corners are the wrong way round.

    >>> area(torch.tensor([[1.0, 1.0, 3.0, 4.0], [3.0, 1.0, 1.0, 4.0]])).tolist()
    [6.0, 0.0]
    """
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of boxes, `(...)`, 0 to 1; 0 where neither has an area.

    Args:
        boxes: `(..., 4)`.
        others: `(..., 4)`; the axes before the last are broadcast.

    >>> one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> overlap(one, one + 1).tolist()  # 1 of 4 + 4 - 1
    [0.1428571492433548]
    """
    both = area(_intersection(boxes, others))
    return both / (area(boxes) + area(others) - both).clamp(min=torch.finfo(both.dtype).tiny)


def generalised_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union, less the share of the smallest box around both that
    neither covers, `(...)`, -1 to 1. It has a gradient also where boxes lie apart.

    Source: Rezatofighi et al., "Generalized intersection over union" (CVPR 2019).

    Args:
        boxes: `(..., 4)`.
        others: `(..., 4)`; the axes before the last are broadcast.
    """
    both = area(_intersection(boxes, others))
    union = area(boxes) + area(others) - both
    corner = torch.minimum(boxes[..., :2], others[..., :2])
    around = area(torch.cat((corner, torch.maximum(boxes[..., 2:], others[..., 2:])), dim=-1))
    tiny = torch.finfo(both.dtype).tiny
    return both / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def unsuppressed(boxes: Tensor, labels: Tensor, most: float = 0.5) -> Tensor:
    """Return which boxes stay when, from the best down, each takes away the worse ones of its class
    that overlap it by more than `most`: non-maximum suppression, for many images at once.

    Args:
        boxes: of each image, the best first, `(N, K, 4)`.
        labels: their classes, `(N, K)`.
        most: intersection over union.

    Returns:
        Truth values `(N, K)`.
    """
    rivals = overlap(boxes.unsqueeze(2), boxes.unsqueeze(1)) > most
    rivals &= labels.unsqueeze(2) == labels.unsqueeze(1)
    rivals = rivals.triu(diagonal=1)
    stay = torch.ones_like(labels, dtype=torch.bool)
    for place in range(labels.shape[1]):
        stay &= ~(rivals[:, place] & stay[:, place, None])
    return stay


def _intersection(boxes: Tensor, others: Tensor) -> Tensor:
    boxes, others = torch.broadcast_tensors(boxes, others)
    corner = torch.maximum(boxes[..., :2], others[..., :2])
    return torch.cat((corner, torch.minimum(boxes[..., 2:], others[..., 2:])), dim=-1)
