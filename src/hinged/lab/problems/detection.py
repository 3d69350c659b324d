"""Object detection: prediction of the classes and boxes of the objects in images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hinged.lab.problems.average_precision import Detections, mean_average_precision
from hinged.lab.problems.boxes import box_area, generalised_box_iou, non_maximum_suppression
from hinged.lab.problems.problem import Chance, Fault, Problem

PADDING = -1.0
"""Class of target rows that do not describe an object."""

RARE_CLASS_BIAS = -math.log((1 - 0.01) / 0.01)
"""Initial bias of the class outputs of a network. The initial probability of a class is then about
0.01 in each cell of the output grid. With a larger bias, the first training steps would only learn
to predict empty cells. Source: Lin et al. (see `Detection`)."""

_REACH = (0.5, 1.5)
"""Lower and upper limit, in cells, of the largest distance between the centre of an object and the
cells that are responsible for it (see `Detection`)."""
_CANDIDATES = 100
_GAMMA, _ALPHA = 2.0, 0.25


@dataclass(frozen=True)
class Detection(Problem):
    """Prediction of the classes and boxes of objects, without anchor boxes.

    **Targets** have shape `(N, M, 5)` for at most `M` objects in each image. A row contains the
    class, left, top, right and bottom of an object, in pixels. Rows of class -1 are padding.

    **Outputs** of a network have shape `(N, classes + 4, rows, columns)`. The outputs belong to the
    cells of a grid over the image. Each cell has one logit per class and four values for the left,
    top, right and bottom side of a box. The softplus of each of these four values is the distance
    from the centre of the cell to the side, in multiples of the cell size.

    **Responsible cells** of an object are the cells near the centre of the object. Along each axis,
    the largest distance is half the size of the object, limited to 0.5 to 1.5 cells. A
    cell near several objects is responsible only for the smallest of these objects.

    **Loss:** the focal loss of the logits in all cells is added to the box loss in the responsible
    cells. The box loss of a cell is 1 minus the generalised intersection over union of the
    predicted box and the true box. The sum is divided by the number of responsible cells.

    **Score:** the mean average precision at an intersection over union of 0.5. In each image, the
    100 candidates with the highest scores are filtered by non-maximum suppression.

    Sources: Tian, Shen, Chen and He, "FCOS: fully convolutional one-stage object detection" (ICCV
    2019), here with one grid and without centre-ness; Lin, Goyal, Girshick, He and Dollár, "Focal
    loss for dense object detection" (ICCV 2017).

    Attributes:
        names: names of the classes.
        size: height and width of the images in pixels.
    """

    names: tuple[str, ...]
    size: tuple[int, int]
    metric: ClassVar[str] = "mAP"
    predicts_per_cell: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Return the number of outputs per grid cell: one logit per class and four distances."""
        return len(self.names) + 4

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the loss of a batch, as a scalar tensor.

        The loss is divided by the number of responsible cells. `Detection` describes these cells
        and the two terms of the loss.

        Args:
            outputs: network outputs, `(N, classes + 4, rows, columns)`.
            targets: classes and boxes of the objects, `(N, M, 5)`.
            label_smoothing: not used.
        """
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
        """Return the mean average precision, 0 to 1, or NaN if the targets contain no object.

        Args:
            outputs: network outputs, `(N, classes + 4, rows, columns)`.
            targets: classes and boxes of the objects, `(N, M, 5)`.
        """
        return mean_average_precision(self.decode(outputs), targets)

    def decode(self, outputs: Tensor) -> Detections:
        """Convert network outputs, as described in `Detection`, into predicted boxes.

        Args:
            outputs: network outputs, `(N, classes + 4, rows, columns)`.

        Returns:
            At most 100 candidates per image, in descending order of score. `valid` is True for
            candidates that remain after non-maximum suppression.
        """
        logits, boxes = self._logits_and_boxes(outputs)
        count = min(_CANDIDATES, logits[0].numel())
        scores, positions = logits.sigmoid().flatten(1).topk(count)
        cells, labels = positions // len(self.names), positions % len(self.names)
        height, width = self.size
        image = torch.tensor([width, height, width, height], device=outputs.device)
        boxes = boxes.gather(1, cells.unsqueeze(2).expand(-1, -1, 4)).clamp(min=0).minimum(image)
        return Detections(boxes, labels, scores, non_maximum_suppression(boxes, labels))

    def target_fault(self, targets: Tensor) -> Fault | None:
        """Return a description of a fault in the targets, or None without a fault.

        The shape, the class indices and the areas of the boxes are checked.
        """
        if targets.ndim != 3 or targets.shape[2] != 5 or not targets.shape[1]:
            got = f"targets of shape {tuple(targets.shape)}"
            return got, "give (images, objects, 5): class, left, top, right, bottom of each object"
        objects = targets[targets[..., 0] != PADDING]
        if ((objects[:, 0] < 0) | (objects[:, 0] >= len(self.names))).any():
            got = f"a class index outside 0 to {len(self.names) - 1}"
            return got, f"the classes are {', '.join(self.names)}"
        if (box_area(objects[:, 1:]) <= 0).any():
            return "a box without an area", "remove this box"
        return None

    def chance(self, targets: Tensor) -> Chance:
        """Return the score 0 of outputs that contain no box."""
        return Chance(0.0, 0.01, "the score of a network that finds nothing")

    def mirror_targets(self, targets: Tensor) -> Tensor:
        """Return the targets `(N, M, 5)` of images that are mirrored left to right."""
        label, left, top, right, bottom = targets.unbind(dim=2)
        width = self.size[1]
        mirrored = torch.stack((label, width - right, top, width - left, bottom), dim=2)
        return torch.where(label.unsqueeze(2) == PADDING, targets, mirrored)

    def _logits_and_boxes(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits `(N, P, classes)` and boxes `(N, P, 4)` in pixels, for `P` cells."""
        flat = outputs.float().flatten(2).transpose(1, 2)
        cell, centres = self._grid(outputs)
        distances = F.softplus(flat[..., len(self.names) :]) * cell.repeat(2)
        corners = (centres - distances[..., :2], centres + distances[..., 2:])
        return flat[..., : len(self.names)], torch.cat(corners, dim=2)

    def _grid(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the size of a cell `(2,)` and the centres of all `P` cells `(P, 2)`.

        Both are in pixels, with x before y.
        """
        rows, columns = outputs.shape[2:]
        height, width = self.size
        cell = torch.tensor([width / columns, height / rows], device=outputs.device)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        indices = torch.stack((x, y), dim=2).flatten(0, 1).to(outputs.device)
        return cell, (indices + 0.5) * cell

    def _owners(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the index of the object for which each of the `P` cells is responsible, `(N, P)`.

        The index is -1 if a cell is not responsible for any object. `Detection` defines the
        responsible cells.
        """
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
    """Return the focal loss of each class: binary cross entropy with weights, `(..., classes)`.

    The weights are small for logits that already predict the wanted value.

    Args:
        logits: class logits, `(..., classes)`.
        wanted: 1 for the class of the object in a cell, otherwise 0, `(..., classes)`.
    """
    wanted = wanted.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    wrong = (wanted - logits.sigmoid()).abs()
    weight = _ALPHA * wanted + (1 - _ALPHA) * (1 - wanted)
    return weight * wrong**_GAMMA * entropy
