"""Finding objects in images: their classes and boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from hinged.lab.problems.boxes import area, generalised_overlap, unsuppressed
from hinged.lab.problems.precision import Found, mean_average_precision
from hinged.lab.problems.problem import Fault, Problem

PADDING = -1.0
"""The class of rows that stand for no object."""

RARE = -math.log((1 - 0.01) / 0.01)
"""Start of a class's bias, so that it is at first found in one cell of a hundred: otherwise empty
cells are all that the first steps learn. Source: Lin et al., as at `Detection`."""

_REACH = (0.5, 1.5)
_CANDIDATES = 100
_GAMMA, _ALPHA = 2.0, 0.25


@dataclass(frozen=True)
class Detection(Problem):
    """The objects in each image, by cells of a grid laid over it, without anchors.

    Targets are `(N, M, 5)` in float32: class, left, top, right, bottom of each object, in pixels;
    rows of -1 fill up to `M`. A network gives for each cell a logit for each class and the
    distances of the box's four sides from the middle of the cell, in cells, before softplus. The
    cells next to the middle of an object, up to one and a half away, answer for it; where
    several claim a cell, the smallest. Trained are the focal loss of all cells and one minus
    the generalised overlap of those that answer. Scored is the mean average precision at an
    overlap of 0.5, of the 100 surest boxes an image, after non-maximum suppression.

    Sources: Tian, Shen, Chen and He, "FCOS: fully convolutional one-stage object detection" (ICCV
    2019), of which this is one scale without centre-ness; Lin, Goyal, Girshick, He and Dollár,
    "Focal loss for dense object detection" (ICCV 2017).

    Attributes:
        names: of the classes.
        size: height and width of the images in pixels.
    """

    names: tuple[str, ...]
    size: tuple[int, int]
    metric: ClassVar[str] = "mAP"
    on_grid: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """Return the number of classes and four sides."""
        return len(self.names) + 4

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return the loss of all cells over the number of those that answer for an object."""
        logits, boxes = self._answers(outputs)
        owner = self._owners(outputs, targets)
        rows = targets.gather(1, owner.clamp(min=0).unsqueeze(2).expand(-1, -1, 5))
        answering = owner >= 0
        number = answering.sum().clamp(min=1)
        wanted = F.one_hot(rows[..., 0].long().clamp(min=0), len(self.names))
        classes = _focal_loss(logits, wanted * answering.unsqueeze(2)).sum()
        sides = 1 - generalised_overlap(boxes[answering], rows[..., 1:][answering])
        return (classes + sides.sum()) / number

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the mean average precision, 0 to 1."""
        return mean_average_precision(self.find(outputs), targets)

    def find(self, outputs: Tensor) -> Found:
        """Return the boxes that a network's outputs stand for, the surest of each image first."""
        logits, boxes = self._answers(outputs)
        count = min(_CANDIDATES, logits[0].numel())
        scores, places = logits.sigmoid().flatten(1).topk(count)
        cells, labels = places // len(self.names), places % len(self.names)
        height, width = self.size
        image = torch.tensor([width, height, width, height], device=outputs.device)
        boxes = boxes.gather(1, cells.unsqueeze(2).expand(-1, -1, 4)).clamp(min=0).minimum(image)
        return Found(boxes, labels, scores, unsuppressed(boxes, labels))

    def fault(self, targets: Tensor) -> Fault | None:
        """Return what is wrong with classes and boxes."""
        if targets.ndim != 3 or targets.shape[2] != 5 or not targets.shape[1]:
            got = f"targets of shape {tuple(targets.shape)}"
            return got, "give class, left, top, right, bottom of each object, (N, M, 5)"
        objects = targets[targets[..., 0] != PADDING]
        if ((objects[:, 0] < 0) | (objects[:, 0] >= len(self.names))).any():
            return "a class that has no name", f"there are {', '.join(self.names)}"
        if (area(objects[:, 1:]) <= 0).any():
            return "a box without an area", "leave it out"
        return None

    def mirrored(self, targets: Tensor) -> Tensor:
        """Return the targets with left and right exchanged."""
        label, left, top, right, bottom = targets.unbind(dim=2)
        width = self.size[1]
        turned = torch.stack((label, width - right, top, width - left, bottom), dim=2)
        return torch.where(label.unsqueeze(2) == PADDING, targets, turned)

    def _answers(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits `(N, P, classes)` and boxes `(N, P, 4)` of the `P` cells."""
        flat = outputs.float().flatten(2).transpose(1, 2)
        cell, middles = self._grid(outputs)
        distances = F.softplus(flat[..., len(self.names) :]) * cell.repeat(2)
        corners = (middles - distances[..., :2], middles + distances[..., 2:])
        return flat[..., : len(self.names)], torch.cat(corners, dim=2)

    def _grid(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return width and height of a cell, `(2,)`, and the middles of all, `(P, 2)`."""
        rows, columns = outputs.shape[2:]
        height, width = self.size
        cell = torch.tensor([width / columns, height / rows], device=outputs.device)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        places = torch.stack((x, y), dim=2).flatten(0, 1).to(outputs.device)
        return cell, (places + 0.5) * cell

    def _owners(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return which object each cell answers for, `(N, P)`, -1 where for none."""
        cell, middles = self._grid(outputs)
        first, last = targets[..., 1:3], targets[..., 3:]
        near, far = (share * cell for share in _REACH)
        reach = ((last - first) / 2).maximum(near).minimum(far)
        apart = (middles[:, None] - ((first + last) / 2)[:, None]).abs()
        claims = (apart <= reach[:, None]).all(dim=3) & (targets[:, None, :, 0] != PADDING)
        areas = area(targets[..., 1:])[:, None].expand(claims.shape)
        smallest, owner = areas.masked_fill(~claims, math.inf).min(dim=2)
        return torch.where(smallest.isfinite(), owner, -1)


def _focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross entropy of each class by itself, less where it is right already,
    `(..., classes)`."""
    wanted = wanted.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    wrong = (wanted - logits.sigmoid()).abs()
    weight = _ALPHA * wanted + (1 - _ALPHA) * (1 - wanted)
    return weight * wrong**_GAMMA * entropy
