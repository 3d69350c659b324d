"""Images with boxes: BCCD, blood cells of three kinds."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hinged.lab.data.readers import jpeg
from hinged.lab.data.readers.cache import Arrays, cached
from hinged.lab.data.readers.data_files import damaged, find, verify
from hinged.lab.data.splits import Splits
from hinged.lab.problems import Detection
from hinged.lab.problems.detection import PADDING

CLASSES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")
_SHA256 = "d7eafec94c4fb008a440bee2de7866cd3c0422aaf5b7acc7d0b965c7c41ac9e0"
_REDUCED = 4
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class Detections:
    """One split of a set of images with boxes.

    Attributes:
        images: `(N, 3, H, W)` in uint8.
        boxes: of each image, `(boxes, 4)` in pixels: left, top, right, bottom.
        labels: of each image, the classes of its boxes, `(boxes,)`, places in `CLASSES`.
    """

    images: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]

    def __len__(self) -> int:
        return len(self.images)


def bccd(folder: Path | None, sha256: str = _SHA256, reduced: int = 1) -> dict[str, Detections]:
    """Return the splits of BCCD by name: 205 images of 640 x 480 pixels to train on, 87 to validate
    on, 72 to test on.

    Boxes without an area are left out; the set has two.
    Source: github.com/Shenggan/BCCD_Dataset (MIT).

    Args:
        folder: the folder of data sets, with `detection/bccd.zip`.
        sha256: of the file.
        reduced: so many pixels of height and width are averaged to one.

    Raises:
        DataError: it is missing or damaged.
    """
    path = verify(find("bccd", folder, ("detection/bccd.zip", "bccd.zip")), sha256)
    arrays = cached(f"bccd-{sha256[:16]}-{reduced}", lambda: _read(path, reduced))
    return {name: _split(arrays, place, reduced) for place, name in enumerate(SPLITS)}


def reduced_bccd(folder: Path | None, sha256: str = _SHA256) -> Splits:
    """Return BCCD at 160 x 120 pixels, the 292 images of training and validation to train on.

    Raises:
        DataError: it is missing or damaged.
    """
    splits = bccd(folder, sha256, _REDUCED)
    train, test = (splits["train"], splits["val"]), (splits["test"],)
    most = max(len(boxes) for split in splits.values() for boxes in split.boxes)
    images, targets = zip(*(_joined(part, most) for part in (train, test)), strict=True)
    height, width = images[0].shape[2:]
    about = (
        f"photographs of blood cells with boxes, 640 x 480 pixels reduced to {width} x {height}; "
        f"{len(images[0])} to train on (its training and validation splits), {len(images[1])} to "
        "test on"
    )
    problem = Detection(CLASSES, (height, width))
    return Splits(about, images[0], targets[0], images[1], targets[1], problem)


def _joined(splits: Sequence[Detections], most: int) -> tuple[Tensor, Tensor]:
    """Return the images of some splits, and their targets `(N, most, 5)`."""
    boxes = [each for split in splits for each in split.boxes]
    labels = [each for split in splits for each in split.labels]
    targets = torch.full((len(boxes), max(1, most), 5), PADDING)
    for row, of_image, classes in zip(targets, boxes, labels, strict=True):
        row[: len(classes)] = torch.cat((classes.unsqueeze(1).float(), of_image), dim=1)
    return torch.cat([split.images for split in splits]), targets


def _split(arrays: Arrays, place: int, reduced: int) -> Detections:
    """Return one split; its images are neighbours in the arrays, so that they stay mapped."""
    first, end = arrays["first_image"][place : place + 2]
    boxes = torch.from_numpy(arrays["boxes"]).float() / reduced
    labels, image = torch.from_numpy(arrays["labels"]), arrays["image_of_box"]
    bounds = np.searchsorted(image, np.arange(first, end + 1))
    rows = [slice(a, b) for a, b in pairwise(bounds)]
    return Detections(
        torch.from_numpy(arrays["images"][first:end]),
        [boxes[each] for each in rows],
        [labels[each] for each in rows],
    )


def _read(path: Path, reduced: int) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            return _arrays(path, archive, reduced)
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, AttributeError) as error:
        raise damaged(path, error) from None


def _arrays(path: Path, archive: zipfile.ZipFile, reduced: int) -> Arrays:
    splits = [archive.read(f"BCCD/ImageSets/Main/{name}.txt").decode().split() for name in SPLITS]
    names = [name for split in splits for name in split]
    images = (
        _averaged(
            jpeg.decode(archive.read(f"BCCD/JPEGImages/{name}.jpg"), f"{name} of {path}"), reduced
        )
        for name in names
    )
    boxes = np.concatenate(
        [_boxes(archive.read(f"BCCD/Annotations/{name}.xml"), i) for i, name in enumerate(names)]
    )
    return {
        "images": jpeg.stack(images, len(names), "bccd"),
        "image_of_box": boxes[:, 0],
        "labels": boxes[:, 1],
        "boxes": boxes[:, 2:],
        "first_image": np.cumsum([0, *map(len, splits)]),
    }


def _averaged(pixels: jpeg.Pixels, reduced: int) -> jpeg.Pixels:
    """Return the means of squares of pixels, rounded; what fills no square is cut off."""
    height, width = (size // reduced for size in pixels.shape[1:])
    whole = pixels[:, : height * reduced, : width * reduced]
    squares = whole.reshape(len(whole), height, reduced, width, reduced)
    averaged: jpeg.Pixels = squares.mean(axis=(2, 4)).round().astype(np.uint8)
    return averaged


def _boxes(annotation: bytes, image: int) -> NDArray[Any]:
    """Return image, label and corners of each box of an annotation of Pascal VOC, `(B, 6)`."""
    rows = []
    for thing in ElementTree.fromstring(annotation).iter("object"):
        label = CLASSES.index(thing.findtext("name", ""))
        left, top, right, bottom = (int(thing.findtext(f"bndbox/{c}", "")) for c in _CORNERS)
        if left < right and top < bottom:
            rows.append((image, label, left, top, right, bottom))
    return np.array(rows, dtype=np.int64).reshape(-1, 6)
