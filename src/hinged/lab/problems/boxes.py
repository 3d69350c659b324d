"""Boxes `(left, top, right, bottom)`: areas, intersection over union, non-maximum suppression.

`torchvision.ops` has similar functions. They are not used here: torchvision is an optional package,
its `box_iou` gives NaN for two boxes without an area, and its `nms` handles one image per call.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas `(...)` of boxes `(..., 4)`; 0 if a box ends before it begins.

    >>> box_area(torch.tensor([[1.0, 1.0, 3.0, 4.0], [3.0, 1.0, 1.0, 4.0]])).tolist()
    [6.0, 0.0]
    """
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of boxes, `(...)`, 0 to 1; 0 for two empty boxes.

    Args:
        boxes: `(..., 4)`.
        others: `(..., 4)`; the axes before the last are broadcast.

    >>> one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> box_iou(one, one + 1).tolist()  # 1 of 4 + 4 - 1
    [0.1428571492433548]
    """
    both = box_area(_intersection(boxes, others))
    union = box_area(boxes) + box_area(others) - both
    return both / union.clamp(min=torch.finfo(both.dtype).tiny)


def generalised_box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union minus the uncovered share of the smallest box around both,
    `(...)`, -1 to 1. Its gradient is not 0 when the boxes do not touch.

    Source: Rezatofighi et al., "Generalized intersection over union" (CVPR 2019).

    Args:
        boxes: `(..., 4)`.
        others: `(..., 4)`; the axes before the last are broadcast.
    """
    both = box_area(_intersection(boxes, others))
    union = box_area(boxes) + box_area(others) - both
    corner = torch.minimum(boxes[..., :2], others[..., :2])
    around = box_area(torch.cat((corner, torch.maximum(boxes[..., 2:], others[..., 2:])), dim=-1))
    tiny = torch.finfo(both.dtype).tiny
    return both / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def non_maximum_suppression(boxes: Tensor, labels: Tensor, max_iou: float = 0.5) -> Tensor:
    """Return the boxes that remain: each box, from the best down, removes the worse boxes of its
    class that overlap it by more than `max_iou`. Many images are treated at once.

    Args:
        boxes: of each image, the best first, `(N, K, 4)`.
        labels: their classes, `(N, K)`.
        max_iou: largest intersection over union of two boxes that both remain.

    Returns:
        Whether each box remains, `(N, K)`.
    """
    suppresses = box_iou(boxes.unsqueeze(2), boxes.unsqueeze(1)) > max_iou
    suppresses &= labels.unsqueeze(2) == labels.unsqueeze(1)
    suppresses = suppresses.triu(diagonal=1)
    remains = torch.ones_like(labels, dtype=torch.bool)
    for index in range(labels.shape[1]):
        remains &= ~(suppresses[:, index] & remains[:, index, None])
    return remains


def _intersection(boxes: Tensor, others: Tensor) -> Tensor:
    boxes, others = torch.broadcast_tensors(boxes, others)
    corner = torch.maximum(boxes[..., :2], others[..., :2])
    return torch.cat((corner, torch.minimum(boxes[..., 2:], others[..., 2:])), dim=-1)
