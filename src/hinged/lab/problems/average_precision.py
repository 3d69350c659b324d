"""The score of object detection: mean average precision (mAP)."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.lab.problems.boxes import box_iou


class Detections(NamedTuple):
    """Boxes that a network predicts, `K` candidates in each image.

    Attributes:
        boxes: `(N, K, 4)` in pixels: left, top, right, bottom.
        labels: their classes, `(N, K)`.
        scores: probabilities of these classes, `(N, K)`.
        valid: which candidates are predictions; the others do not count, `(N, K)`.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    valid: Tensor


def mean_average_precision(detections: Detections, truth: Tensor, min_iou: float = 0.5) -> float:
    """Return the average precision of each class, averaged over the classes that occur.

    Each predicted box is compared with the true box of its class that it overlaps most. The
    prediction is right if their intersection over union is at least `min_iou` and no prediction
    with a higher score has matched the same true box.

    Source: Everingham et al., "The Pascal visual object classes (VOC) challenge" (IJCV 2010), with
    the area under the whole curve, as in the challenges from 2010 on.

    Args:
        detections: the predicted boxes.
        truth: class, left, top, right, bottom of the true boxes, `(N, M, 5)`; a class below 0 marks
            padding.
        min_iou: smallest intersection over union of a right prediction.

    Returns:
        0 to 1; NaN if there is no true box.
    """
    ious = box_iou(detections.boxes.unsqueeze(2), truth[:, None, :, 1:])
    classes = truth[..., 0].unique().long().tolist()
    precisions = [
        _average_precision(detections, truth, ious, label, min_iou)
        for label in classes
        if label >= 0
    ]
    return statistics.fmean(precisions) if precisions else math.nan


def area_under_curve(right: Tensor, true_boxes: int) -> float:
    """Return the area under precision as a function of recall. Precision at a recall is the highest
    at this recall or beyond, so that the curve falls.

    Args:
        right: whether each prediction is right, the highest score first, `(D,)`.
        true_boxes: number of true boxes.

    >>> area_under_curve(torch.tensor([True, False, True]), 2)  # (1 + 2/3) / 2
    0.8333333333333333
    """
    number = torch.arange(1, len(right) + 1, dtype=torch.float64)
    precision = right.double().cumsum(dim=0) / number
    falling = precision.flip(0).cummax(dim=0).values.flip(0) if len(right) else precision
    return (falling[right].sum() / true_boxes).item()  # Recall grows only at right predictions.


def _average_precision(
    detections: Detections, truth: Tensor, ious: Tensor, label: int, min_iou: float
) -> float:
    of_label = truth[..., 0] == label
    best_iou, best_box = ious.masked_fill(~of_label.unsqueeze(1), -1.0).max(dim=2)
    # A number for each true box of all images.
    match = best_box + truth.shape[1] * torch.arange(len(truth)).unsqueeze(1)
    candidate = detections.valid & (detections.labels == label)
    order = detections.scores[candidate].argsort(descending=True, stable=True)
    hit, match = (best_iou >= min_iou)[candidate][order], match[candidate][order]
    return area_under_curve(hit & _first_matches(match, hit), int(of_label.sum()))


def _first_matches(matches: Tensor, hits: Tensor) -> Tensor:
    """Return which hits are the first to match their true box, `(D,)`."""
    rank = torch.arange(len(matches))
    matched = matches[hits]
    first = torch.full((int(matches.max()) + 1 if len(matches) else 0,), len(matches))
    first = first.scatter_reduce(0, matched, rank[hits], "amin")
    return rank == first[matches]
