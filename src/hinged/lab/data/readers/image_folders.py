"""Reader of the user's images: a folder that contains one folder per class.

torchvision's `ImageFolder` uses the same layout.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hinged import errors
from hinged.lab.data.readers.cache import Arrays, cached_arrays
from hinged.lab.data.readers.data_files import explain_damage
from hinged.lab.data.readers.image_decoding import decode_image, stack_images
from hinged.lab.data.train_test_split import TrainTestSplit, split_at_random
from hinged.lab.problems import Classification

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
MOST_SIDE = 4096
"""Largest height and width, in pixels, to which images are scaled."""
TEST_FOLDERS = ("test", "val", "valid", "validation")

LabelledFiles = Sequence[tuple[Path, str]]
"""Pairs of an image file and the name of the class of the image."""


def read_image_folder(folder: Path, size: int | None = None) -> TrainTestSplit:
    """Read a folder of images as a classification data set.

    Args:
        folder: contains `train/CLASS/*` and `test/CLASS/*`, or only `CLASS/*`. The test folder may
            also be called `val`, `valid` or `validation`. Without a test folder, 30 % of the images
            are the test split.
        size: height and width in pixels to which all images are scaled and cropped. None keeps the
            size, which must be the same for all images.

    Raises:
        DataError: if there are no images, if their sizes differ, if an image is damaged, or if a
            class has test images but no training images.
    """
    if size is not None and not 1 <= size <= MOST_SIDE:
        hint = f"choose a height and width from 1 to {MOST_SIDE} pixels"
        raise errors.DataError(errors.message(f"data {folder}", f"the size {size}", hint))
    tests = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    if not (folder / "train").is_dir() or not tests:
        return _read_without_split(folder, size)
    train, test = _list_files(folder / "train"), _list_files(tests[0])
    return read_image_files(str(folder), f"images of {folder}", train, test, size)


def read_image_files(
    name: str, about: str, train: LabelledFiles, test: LabelledFiles, size: int | None = None
) -> TrainTestSplit:
    """Read image files as a classification data set.

    Args:
        name: name of the data set in error messages.
        about: sentence that describes the data and the division into splits.
        train: training images with their classes.
        test: test images with their classes.
        size: height and width in pixels to which all images are scaled and cropped. None keeps the
            size, which must be the same for all images.

    Raises:
        DataError: if there are no images, if their sizes differ, if an image is damaged, or if a
            class has test images but no training images.
    """
    classes = sorted({label for _, label in train})
    unknown = sorted({label for _, label in test} - set(classes))
    if unknown:
        got = f"test images of classes without training images: {', '.join(unknown[:5])}"
        raise errors.DataError(
            errors.message(f"data {name}", got, "use the same classes in both splits")
        )
    files = [*train, *test]
    arrays = cached_arrays(_cache_key(files, size), lambda: _decode_files(name, files, size))
    x = torch.from_numpy(arrays["images"])
    y = torch.tensor([classes.index(label) for _, label in files], dtype=torch.long)
    n = len(train)
    problem = Classification(len(classes), tuple(classes))
    return TrainTestSplit(about, x[:n], y[:n], x[n:], y[n:], problem)


def _read_without_split(folder: Path, size: int | None) -> TrainTestSplit:
    files = _list_files(folder)
    if not files:
        got = f"{folder}, a folder without images in class folders"
        hint = "put the images of each class into CLASS/, or into train/CLASS/ and test/CLASS/"
        raise errors.DataError(errors.message("data", got, hint))
    whole = read_image_files(str(folder), f"images of {folder}", files, [], size)
    about = f"{whole.about}, {len(files):,} of {whole.problem.outputs} classes; 30 % to test on"
    names = tuple(sorted({label for _, label in files}))
    return split_at_random(about, whole.x_train, whole.y_train, len(names), names)


def _list_files(folder: Path) -> LabelledFiles:
    """Return the images in the class folders of a folder, in the order of their paths."""
    with explain_damage(folder):
        found = [
            (path, class_folder.name)
            for class_folder in sorted(folder.iterdir())
            if class_folder.is_dir()
            for path in sorted(class_folder.rglob("*"))
            if path.suffix.lower() in SUFFIXES
        ]
    for path, label in found:
        if not _is_unicode(label):
            got = f"{os.fsencode(path.parent)!r}, a class folder whose name is not UTF-8"
            raise errors.DataError(errors.message(f"data {folder}", got, "rename this folder"))
    return found


def _is_unicode(name: str) -> bool:
    """Whether a name can be encoded. Names of files that are not UTF-8 contain surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _cache_key(files: LabelledFiles, size: int | None) -> str:
    """Return a cache key that changes if an image file or the image size changes.

    The key is a hash of the paths, sizes and modification times of the files. Hashing the contents
    would take as long as decoding the images.
    """
    state = hashlib.sha256(repr(size).encode())
    for path, _ in files:
        with explain_damage(path):
            facts = path.stat()
            state.update(os.fsencode(path.resolve()))
        state.update(f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return f"images-{state.hexdigest()[:16]}"


def _decode_files(name: str, files: LabelledFiles, size: int | None) -> Arrays:
    pixels = (decode_image(path, str(path), size) for path, _ in files)
    return {"images": np.ascontiguousarray(stack_images(pixels, len(files), name))}
