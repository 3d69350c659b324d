"""Object detection: classes and boxes of the objects in images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hinged.lab.problems.average_precision import Detections, mean_average_precision
from hinged.lab.problems.boxes import box_area, generalised_box_iou, non_maximum_suppression
from hinged.lab.problems.problem import Fault, Problem

PADDING = -1.0
"""Class of the rows of targets that stand for no object."""

RARE_CLASS_BIAS = -math.log((1 - 0.01) / 0.01)
"""Initial bias of a class's output: the class is then predicted in one cell of a hundred. With
a larger bias, the first steps learn nothing but empty cells. Source: Lin et al. (see
`Detection`)."""

_REACH = (0.5, 1.5)
"""Smallest and largest distance, in cells, within which cells around an object's centre are
responsible for it."""
_CANDIDATES = 100
_GAMMA, _ALPHA = 2.0, 0.25


@dataclass(frozen=True)
class Detection(Problem):
    """Classes and boxes of objects, by a detector without anchors.

    Targets `(N, M, 5)` are class, left, top, right and bottom of each object in pixels; rows of
    class -1 are padding. For each cell of a grid, a network returns a logit per class and the
    distances from the cell's centre to the four sides of the box, in cells, before softplus.

    The cells near the centre of an object are responsible for it: those within half the object's
    size, but at least half a cell and at most one and a half cells. A cell that several objects
    claim is responsible for the smallest one. The loss is the focal loss of all cells plus one
    minus the generalised intersection over union of the responsible cells, divided by their number.
    The score is the mean average precision at an intersection over union of 0.5, from the 100
    candidates of highest score per image after non-maximum suppression.

    Sources: Tian, Shen, Chen and He, "FCOS: fully convolutional one-stage object detection" (ICCV
    2019), here with one scale and without centre-ness; Lin, Goyal, Girshick, He and Dollár,
    "Focal loss for dense object detection" (ICCV 2017).

    Attributes:
        names: of the classes.
        size: height and width of the images in pixels.
    """

    names: tuple[str, ...]
    size: tuple[int, int]
    metric: ClassVar[str] = "mAP"
    predicts_per_cell: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Return the number of outputs per cell: one per class and four distances."""
        return len(self.names) + 4

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the sum of the loss over all cells, divided by the number of responsible cells."""
        logits, boxes = self._logits_and_boxes(outputs)
        owner = self._owners(outputs, targets)
        rows = targets.gather(1, owner.clamp(min=0).unsqueeze(2).expand(-1, -1, 5))
        responsible = owner >= 0
        number = responsible.sum().clamp(min=1)
        wanted = F.one_hot(rows[..., 0].long().clamp(min=0), len(self.names))
        classes = _focal_loss(logits, wanted * responsible.unsqueeze(2)).sum()
        sides = 1 - generalised_box_iou(boxes[responsible], rows[..., 1:][responsible])
        return (classes + sides.sum()) / number

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the mean average precision, 0 to 1."""
        return mean_average_precision(self.decode(outputs), targets)

    def decode(self, outputs: Tensor) -> Detections:
        """Return the boxes that a network's outputs describe, the highest score of each image
        first."""
        logits, boxes = self._logits_and_boxes(outputs)
        count = min(_CANDIDATES, logits[0].numel())
        scores, positions = logits.sigmoid().flatten(1).topk(count)
        cells, labels = positions // len(self.names), positions % len(self.names)
        height, width = self.size
        image = torch.tensor([width, height, width, height], device=outputs.device)
        boxes = boxes.gather(1, cells.unsqueeze(2).expand(-1, -1, 4)).clamp(min=0).minimum(image)
        return Detections(boxes, labels, scores, non_maximum_suppression(boxes, labels))

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a fault of the classes or boxes, or None."""
        if targets.ndim != 3 or targets.shape[2] != 5 or not targets.shape[1]:
            got = f"targets of shape {tuple(targets.shape)}"
            return got, "give class, left, top, right, bottom of each object, (N, M, 5)"
        objects = targets[targets[..., 0] != PADDING]
        if ((objects[:, 0] < 0) | (objects[:, 0] >= len(self.names))).any():
            return "a class that has no name", f"the classes are {', '.join(self.names)}"
        if (box_area(objects[:, 1:]) <= 0).any():
            return "a box without an area", "leave it out"
        return None

    def mirror_targets(self, targets: Tensor) -> Tensor:
        """Return the targets with left and right exchanged."""
        label, left, top, right, bottom = targets.unbind(dim=2)
        width = self.size[1]
        mirrored = torch.stack((label, width - right, top, width - left, bottom), dim=2)
        return torch.where(label.unsqueeze(2) == PADDING, targets, mirrored)

    def _logits_and_boxes(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `(N, P, classes)` and boxes `(N, P, 4)` of the `P` cells."""
        flat = outputs.float().flatten(2).transpose(1, 2)
        cell, centres = self._grid(outputs)
        distances = F.softplus(flat[..., len(self.names) :]) * cell.repeat(2)
        corners = (centres - distances[..., :2], centres + distances[..., 2:])
        return flat[..., : len(self.names)], torch.cat(corners, dim=2)

    def _grid(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return width and height of a cell, `(2,)`, and the centres of all cells, `(P, 2)`."""
        rows, columns = outputs.shape[2:]
        height, width = self.size
        cell = torch.tensor([width / columns, height / rows], device=outputs.device)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        indices = torch.stack((x, y), dim=2).flatten(0, 1).to(outputs.device)
        return cell, (indices + 0.5) * cell

    def _owners(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the object that each cell is responsible for, `(N, P)`, or -1."""
        cell, centres = self._grid(outputs)
        first, last = targets[..., 1:3], targets[..., 3:]
        nearest, farthest = (share * cell for share in _REACH)
        reach = ((last - first) / 2).maximum(nearest).minimum(farthest)
        distance = (centres[:, None] - ((first + last) / 2)[:, None]).abs()
        claims = (distance <= reach[:, None]).all(dim=3) & (targets[:, None, :, 0] != PADDING)
        areas = box_area(targets[..., 1:])[:, None].expand(claims.shape)
        smallest, owner = areas.masked_fill(~claims, math.inf).min(dim=2)
        return torch.where(smallest.isfinite(), owner, -1)


def _focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the binary cross entropy of each class, with small weights for what is already right,
    `(..., classes)`."""
    wanted = wanted.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    wrong = (wanted - logits.sigmoid()).abs()
    weight = _ALPHA * wanted + (1 - _ALPHA) * (1 - wanted)
    return weight * wrong**_GAMMA * entropy
