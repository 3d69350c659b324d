"""Mean average precision (mAP), the score of object detection."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.lab.problems.boxes import box_iou


class Detections(NamedTuple):
    """Predicted boxes in `N` images, with `K` candidates in each image.

    Attributes:
        boxes: left, top, right and bottom of each candidate in pixels, `(N, K, 4)`.
        labels: class index of each candidate, `(N, K)`.
        scores: probability of the class of each candidate, `(N, K)`.
        valid: True for candidates that are predictions, `(N, K)`. Other candidates are ignored.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    valid: Tensor


def mean_average_precision(detections: Detections, truth: Tensor, min_iou: float = 0.5) -> float:
    """Return the mean of the average precision over all classes that occur in `truth`.

    The average precision of a class is the area under the precision-recall curve. Each prediction
    is compared with the true box of the same class and image that has the largest intersection over
    union. A prediction is right if both conditions are satisfied:

    - The intersection over union is at least `min_iou`.
    - No prediction with a higher score satisfies the first condition for the same true box.

    Source: Everingham et al., "The Pascal visual object classes (VOC) challenge" (IJCV 2010). The
    area under the whole curve is used, as in the challenges since 2010.

    Args:
        detections: predicted boxes.
        truth: class, left, top, right and bottom of at most `M` true boxes in each image,
            `(N, M, 5)`. Rows with a negative class are padding.
        min_iou: smallest intersection over union of a right prediction.

    Returns:
        The mean average precision, 0 to 1, or NaN if there are no true boxes.
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
    """Return the area under the curve of precision as a function of recall, 0 to 1.

    Precision is the fraction of the predictions that are right. Recall is the fraction of the true
    boxes that are found. At each recall, the curve has the largest precision that is reached at the
    same recall or a larger recall. The curve therefore never rises.

    Args:
        right: whether each of `D` predictions is right, in descending order of score, `(D,)`.
        true_boxes: number of true boxes.

    >>> area_under_curve(torch.tensor([True, False, True]), 2)  # (1 + 2/3) / 2
    0.8333333333333333
    """
    number = torch.arange(1, len(right) + 1, dtype=torch.float64)
    precision = right.double().cumsum(dim=0) / number
    falling = precision.flip(0).cummax(dim=0).values.flip(0) if len(right) else precision
    return (falling[right].sum() / true_boxes).item()  # Recall changes only at right predictions.


def _average_precision(
    detections: Detections, truth: Tensor, ious: Tensor, label: int, min_iou: float
) -> float:
    of_label = truth[..., 0] == label
    best_iou, best_box = ious.masked_fill(~of_label.unsqueeze(1), -1.0).max(dim=2)
    # A different index for each true box of all images.
    match = best_box + truth.shape[1] * torch.arange(len(truth)).unsqueeze(1)
    candidate = detections.valid & (detections.labels == label)
    order = detections.scores[candidate].argsort(descending=True, stable=True)
    hit, match = (best_iou >= min_iou)[candidate][order], match[candidate][order]
    return area_under_curve(hit & _first_matches(match, hit), int(of_label.sum()))


def _first_matches(matches: Tensor, hits: Tensor) -> Tensor:
    """Return True for each of `D` predictions that is the first hit of its true box, `(D,)`.

    Args:
        matches: index of the true box that each prediction is compared with, in descending order of
            score, `(D,)`.
        hits: True for each prediction whose overlap with this true box is large enough (a hit),
            `(D,)`.
    """
    rank = torch.arange(len(matches))
    matched = matches[hits]
    first = torch.full((int(matches.max()) + 1 if len(matches) else 0,), len(matches))
    first = first.scatter_reduce(0, matched, rank[hits], "amin")
    return rank == first[matches]
