"""BCCD: images of blood cells of three kinds, with boxes."""

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

from hinged.lab.data.readers.cache import Arrays, cached_arrays
from hinged.lab.data.readers.data_files import (
    damaged_file_error,
    find_data_file,
    verify_sha256,
)
from hinged.lab.data.readers.image_decoding import Pixels, decode_image, stack_images
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Detection
from hinged.lab.problems.detection import PADDING

CLASSES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")
_SHA256 = "d7eafec94c4fb008a440bee2de7866cd3c0422aaf5b7acc7d0b965c7c41ac9e0"
_REDUCTION = 4
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """One split of a data set of images with boxes.

    Attributes:
        images: `(N, 3, H, W)` in uint8.
        boxes: of each image, `(boxes, 4)` in pixels: left, top, right, bottom.
        labels: of each image, the classes of its boxes, `(boxes,)`, indices into `CLASSES`.
    """

    images: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]

    def __len__(self) -> int:
        return len(self.images)


def read_bccd(
    folder: Path | None, sha256: str = _SHA256, reduction: int = 1
) -> dict[str, BoxedImages]:
    """Return the splits `train`, `val` and `test` of BCCD: 205, 87 and 72 images of 640 x 480
    pixels. The two boxes without an area are left out.

    Source: github.com/Shenggan/BCCD_Dataset (MIT).

    Args:
        folder: the folder of data sets, with `detection/bccd.zip`.
        sha256: checksum of the file.
        reduction: side of the squares of pixels that are averaged to one pixel.

    Raises:
        DataError: the file is missing, damaged, or has another checksum.
    """
    path = verify_sha256(find_data_file("bccd", folder, ("detection/bccd.zip", "bccd.zip")), sha256)
    arrays = cached_arrays(
        f"bccd-{sha256[:16]}-{reduction}", lambda: _read_archive(path, reduction)
    )
    return {name: _take_split(arrays, index, reduction) for index, name in enumerate(SPLITS)}


def read_reduced_bccd(folder: Path | None, sha256: str = _SHA256) -> TrainTestSplit:
    """Return BCCD at 160 x 120 pixels, with its training and validation splits (292 images)
    to train on.

    Raises:
        DataError: the file is missing, damaged, or has another checksum.
    """
    splits = read_bccd(folder, sha256, _REDUCTION)
    train, test = (splits["train"], splits["val"]), (splits["test"],)
    most = max(len(boxes) for split in splits.values() for boxes in split.boxes)
    images, targets = zip(*(_join_splits(part, most) for part in (train, test)), strict=True)
    height, width = images[0].shape[2:]
    about = (
        f"photographs of blood cells with boxes, 640 x 480 pixels reduced to {width} x {height}; "
        f"{len(images[0])} to train on (its training and validation splits), {len(images[1])} to "
        "test on"
    )
    problem = Detection(CLASSES, (height, width))
    return TrainTestSplit(about, images[0], targets[0], images[1], targets[1], problem)


def _join_splits(splits: Sequence[BoxedImages], most: int) -> tuple[Tensor, Tensor]:
    """Return the images of several splits and their targets `(N, most, 5)`."""
    boxes = [each for split in splits for each in split.boxes]
    labels = [each for split in splits for each in split.labels]
    targets = torch.full((len(boxes), max(1, most), 5), PADDING)
    for row, of_image, classes in zip(targets, boxes, labels, strict=True):
        row[: len(classes)] = torch.cat((classes.unsqueeze(1).float(), of_image), dim=1)
    return torch.cat([split.images for split in splits]), targets


def _take_split(arrays: Arrays, index: int, reduction: int) -> BoxedImages:
    """Return one split. Its images are a slice of the mapped array, so that none is copied."""
    first, end = arrays["first_image"][index : index + 2]
    boxes = torch.from_numpy(arrays["boxes"]).float() / reduction
    labels, image = torch.from_numpy(arrays["labels"]), arrays["image_of_box"]
    bounds = np.searchsorted(image, np.arange(first, end + 1))
    rows = [slice(a, b) for a, b in pairwise(bounds)]
    return BoxedImages(
        torch.from_numpy(arrays["images"][first:end]),
        [boxes[each] for each in rows],
        [labels[each] for each in rows],
    )


def _read_archive(path: Path, reduction: int) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            return _decode_archive(path, archive, reduction)
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, AttributeError) as error:
        raise damaged_file_error(path, error) from None


def _decode_archive(path: Path, archive: zipfile.ZipFile, reduction: int) -> Arrays:
    splits = [archive.read(f"BCCD/ImageSets/Main/{name}.txt").decode().split() for name in SPLITS]
    names = [name for split in splits for name in split]
    images = (
        _average_squares(
            decode_image(archive.read(f"BCCD/JPEGImages/{name}.jpg"), f"{name} of {path}"),
            reduction,
        )
        for name in names
    )
    boxes = np.concatenate(
        [
            _read_boxes(archive.read(f"BCCD/Annotations/{name}.xml"), i)
            for i, name in enumerate(names)
        ]
    )
    return {
        "images": stack_images(images, len(names), "bccd"),
        "image_of_box": boxes[:, 0],
        "labels": boxes[:, 1],
        "boxes": boxes[:, 2:],
        "first_image": np.cumsum([0, *map(len, splits)]),
    }


def _average_squares(pixels: Pixels, side: int) -> Pixels:
    """Return the rounded means of squares of pixels. Rows and columns that fill no square are cut
    off."""
    height, width = (size // side for size in pixels.shape[1:])
    whole = pixels[:, : height * side, : width * side]
    squares = whole.reshape(len(whole), height, side, width, side)
    averaged: Pixels = squares.mean(axis=(2, 4)).round().astype(np.uint8)
    return averaged


def _read_boxes(annotation: bytes, image: int) -> NDArray[Any]:
    """Return image, label and corners of each box in an annotation in the format of Pascal VOC,
    `(B, 6)`."""
    rows = []
    for element in ElementTree.fromstring(annotation).iter("object"):
        label = CLASSES.index(element.findtext("name", ""))
        left, top, right, bottom = (int(element.findtext(f"bndbox/{c}", "")) for c in _CORNERS)
        if left < right and top < bottom:
            rows.append((image, label, left, top, right, bottom))
    return np.array(rows, dtype=np.int64).reshape(-1, 6)
