"""Reader of BCCD, a detection data set: images of blood cells with boxes of three classes."""

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
    check_unpacked_size,
    explain_damage,
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
    """Images of one split, with the boxes and classes of the objects.

    Attributes:
        images: `(N, 3, H, W)` in uint8.
        boxes: one tensor `(B, 4)` for each image with `B` boxes: left, top, right, bottom, in
            pixels.
        labels: one tensor `(B,)` for each image: the class of each box, an index into `CLASSES`.
    """

    images: Tensor
    boxes: list[Tensor]
    labels: list[Tensor]

    def __len__(self) -> int:
        return len(self.images)


def read_bccd(
    folder: Path | None, sha256: str = _SHA256, reduction: int = 1
) -> dict[str, BoxedImages]:
    """Read the splits `train`, `val` and `test` of BCCD.

    The splits have 205, 87 and 72 images of 640 x 480 pixels. Two boxes of BCCD have no area and
    are left out. Source: github.com/Shenggan/BCCD_Dataset (MIT).

    Args:
        folder: folder of data sets, which contains `detection/bccd.zip` or `bccd.zip`.
        sha256: expected SHA-256 of the zip file.
        reduction: factor by which height and width of the images are reduced. Each square of
            `reduction` x `reduction` pixels is averaged.

    Returns:
        One `BoxedImages` for each name of a split.

    Raises:
        DataError: if `folder` is None, or if the file is missing, damaged, or has another checksum.
    """
    path = verify_sha256(find_data_file("bccd", folder, ("detection/bccd.zip", "bccd.zip")), sha256)
    arrays = cached_arrays(
        f"bccd-{sha256[:16]}-{reduction}", lambda: _read_archive(path, reduction)
    )
    return {name: _take_split(arrays, index, reduction) for index, name in enumerate(SPLITS)}


def read_reduced_bccd(folder: Path | None, sha256: str = _SHA256) -> TrainTestSplit:
    """Read BCCD with images that are reduced to 160 x 120 pixels.

    The splits `train` and `val` of BCCD (292 images) form the training split.

    Args:
        folder: folder of data sets, which contains `detection/bccd.zip` or `bccd.zip`.
        sha256: expected SHA-256 of the zip file.

    Raises:
        DataError: if `folder` is None, or if the file is missing, damaged, or has another checksum.
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
    """Return the images `(N, 3, H, W)` of several splits, and the targets `(N, most, 5)`.

    `most` is the largest number of boxes in an image. Unused rows of the targets contain `PADDING`.
    """
    boxes = [each for split in splits for each in split.boxes]
    labels = [each for split in splits for each in split.labels]
    targets = torch.full((len(boxes), max(1, most), 5), PADDING)
    for row, of_image, classes in zip(targets, boxes, labels, strict=True):
        row[: len(classes)] = torch.cat((classes.unsqueeze(1).float(), of_image), dim=1)
    return torch.cat([split.images for split in splits]), targets


def _take_split(arrays: Arrays, index: int, reduction: int) -> BoxedImages:
    """Return one split of the decoded data set.

    The images are a view of the memory-mapped array, not a copy.

    Args:
        arrays: the result of `_decode_archive`.
        index: index of the split in `SPLITS`.
        reduction: factor by which height and width of the images were reduced. The boxes are
            divided by this factor.
    """
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
    with explain_damage(path), zipfile.ZipFile(path) as archive:
        check_unpacked_size(archive)
        return _decode_archive(path, archive, reduction)


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
    """Reduce an image `(3, H, W)` by averaging squares of `side` x `side` pixels.

    Means are rounded. Rows and columns that do not fill a square are cut off.
    """
    height, width = (size // side for size in pixels.shape[1:])
    whole = pixels[:, : height * side, : width * side]
    squares = whole.reshape(len(whole), height, side, width, side)
    averaged: Pixels = squares.mean(axis=(2, 4)).round().astype(np.uint8)
    return averaged


def _read_boxes(annotation: bytes, image: int) -> NDArray[Any]:
    """Read the `B` boxes of one image from XML in the format of Pascal VOC.

    Args:
        annotation: content of the XML file.
        image: index of the image.

    Returns:
        One row per box, `(B, 6)`: index of the image, class, left, top, right, bottom.
    """
    rows = []
    for element in ElementTree.fromstring(annotation).iter("object"):
        label = CLASSES.index(element.findtext("name", ""))
        left, top, right, bottom = (int(element.findtext(f"bndbox/{c}", "")) for c in _CORNERS)
        if left < right and top < bottom:
            rows.append((image, label, left, top, right, bottom))
    return np.array(rows, dtype=np.int64).reshape(-1, 6)
