"""Area, intersection over union and non-maximum suppression of boxes.

A box is `(left, top, right, bottom)`. The functions of `torchvision.ops` are not used for three
reasons:

- torchvision is an optional package.
- `torchvision.ops.box_iou` returns NaN for two boxes without area.
- `torchvision.ops.nms` handles one image per call.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas `(...)` of boxes `(..., 4)`.

    A box with `right < left` or `bottom < top` has area 0.

    >>> box_area(torch.tensor([[1.0, 1.0, 3.0, 4.0], [3.0, 1.0, 1.0, 4.0]])).tolist()
    [6.0, 0.0]
    """
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of pairs of boxes, 0 to 1.

    The result is 0 for two boxes without area.

    Args:
        boxes: first box of each pair, `(..., 4)`.
        others: second box of each pair, `(..., 4)`. All axes before the last axis are broadcast.

    Returns:
        One value per pair, `(...)`.

    >>> one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> box_iou(one, one + 1).tolist()  # 1 of 4 + 4 - 1
    [0.1428571492433548]
    """
    both = box_area(_intersection(boxes, others))
    union = box_area(boxes) + box_area(others) - both
    return both / union.clamp(min=torch.finfo(both.dtype).tiny)


def generalised_box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the generalised intersection over union of pairs of boxes, -1 to 1.

    The value is `I / U - (A - U) / A`, where `I` is the area of the intersection and `U` the area
    of the union. `A` is the area of the smallest box that contains both boxes. Even if the boxes do
    not overlap, the gradient is not 0. Source: Rezatofighi et al., "Generalized intersection over
    union" (CVPR 2019).

    Args:
        boxes: first box of each pair, `(..., 4)`.
        others: second box of each pair, `(..., 4)`. All axes before the last axis are broadcast.

    Returns:
        One value per pair, `(...)`.
    """
    both = box_area(_intersection(boxes, others))
    union = box_area(boxes) + box_area(others) - both
    corner = torch.minimum(boxes[..., :2], others[..., :2])
    around = box_area(torch.cat((corner, torch.maximum(boxes[..., 2:], others[..., 2:])), dim=-1))
    tiny = torch.finfo(both.dtype).tiny
    return both / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def non_maximum_suppression(boxes: Tensor, labels: Tensor, max_iou: float = 0.5) -> Tensor:
    """Return which boxes remain after non-maximum suppression in each of `N` images.

    Boxes are processed in descending order of score. A box is removed if its intersection over
    union with an earlier remaining box of the same class is larger than `max_iou`.

    Args:
        boxes: `K` boxes of each image, in descending order of score, `(N, K, 4)`.
        labels: class index of each box, `(N, K)`.
        max_iou: largest intersection over union of two remaining boxes of the same class.

    Returns:
        True for each remaining box, `(N, K)`.
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
