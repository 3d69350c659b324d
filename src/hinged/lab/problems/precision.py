"""How good found boxes are: mean average precision."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

import torch
from torch import Tensor

from hinged.lab.problems.boxes import overlap


class Found(NamedTuple):
    """Boxes found in images, the same number `K` of candidates in each.

    Attributes:
        boxes: `(N, K, 4)` in pixels: left, top, right, bottom.
        labels: their classes, `(N, K)`.
        scores: how sure they are, `(N, K)`.
        kept: which of them count, `(N, K)`.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    kept: Tensor


def mean_average_precision(found: Found, truth: Tensor, least: float = 0.5) -> float:
    """Return the mean, over the classes that occur, of the average precision of each.

    A box is right if the true box of its class that it overlaps most overlaps it by at least
    `least`, and no surer box has claimed that one.

    Source: Everingham et al., "The Pascal visual object classes (VOC) challenge" (IJCV 2010), with
    the area under the whole curve, as from 2010 on.

    Args:
        found: what was found.
        truth: class, left, top, right, bottom of the true boxes, `(N, M, 5)`; a class below 0
            stands for none.
        least: intersection over union.

    Returns:
        0 to 1; NaN where there is no true box.
    """
    overlaps = overlap(found.boxes.unsqueeze(2), truth[:, None, :, 1:])
    classes = truth[..., 0].unique().long().tolist()
    precisions = [
        _average_precision(found, truth, overlaps, label, least) for label in classes if label >= 0
    ]
    return statistics.fmean(precisions) if precisions else math.nan


def area_under_curve(right: Tensor, wanted: int) -> float:
    """Return the area under precision over recall, precision being made to fall.

    Args:
        right: whether each box is right, the surest first, `(D,)`.
        wanted: number of true boxes.

    >>> area_under_curve(torch.tensor([True, False, True]), 2)  # (1 + 2/3) / 2
    0.8333333333333333
    """
    number = torch.arange(1, len(right) + 1, dtype=torch.float64)
    precision = right.double().cumsum(dim=0) / number
    falling = precision.flip(0).cummax(dim=0).values.flip(0) if len(right) else precision
    return (falling[right].sum() / wanted).item()  # Recall grows where a box is right, alone.


def _average_precision(
    found: Found, truth: Tensor, overlaps: Tensor, label: int, least: float
) -> float:
    of_label = truth[..., 0] == label
    most, place = overlaps.masked_fill(~of_label.unsqueeze(1), -1.0).max(dim=2)
    claim = place + truth.shape[1] * torch.arange(len(truth)).unsqueeze(1)
    candidate = found.kept & (found.labels == label)
    order = found.scores[candidate].argsort(descending=True, stable=True)
    hit, claim = (most >= least)[candidate][order], claim[candidate][order]
    return area_under_curve(hit & _first(claim, hit), int(of_label.sum()))


def _first(claims: Tensor, counts: Tensor) -> Tensor:
    """Return where a claim is made for the first time, of those that count, `(D,)`."""
    rank = torch.arange(len(claims))
    made = claims[counts]
    first = torch.full((int(claims.max()) + 1 if len(claims) else 0,), len(claims))
    first = first.scatter_reduce(0, made, rank[counts], "amin")
    return rank == first[claims]
