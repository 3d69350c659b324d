"""The user's own images: a folder with one folder per class, as for torchvision's `ImageFolder`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hinged import errors
from hinged.lab.data.readers.cache import Arrays, cached_arrays
from hinged.lab.data.readers.image_decoding import decode_image, stack_images
from hinged.lab.data.train_test_split import TrainTestSplit, split_at_random
from hinged.lab.problems import Classification

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_FOLDERS = ("test", "val", "valid", "validation")

LabelledFiles = Sequence[tuple[Path, str]]
"""Image files, each with the name of its class."""


def read_image_folder(folder: Path, size: int | None = None) -> TrainTestSplit:
    """Return the images of a folder.

    Args:
        folder: holds `train/CLASS/*` and `test/CLASS/*` (or `val`), or only `CLASS/*`. In the
            second case 30 % of the images are to test on.
        size: side of the square that every image is scaled and cropped to; None keeps their size.

    Raises:
        DataError: there are no images, their sizes differ, one is damaged, or the test split has a
            class that the training split lacks.
    """
    tests = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    if not (folder / "train").is_dir() or not tests:
        return _read_without_split(folder, size)
    train, test = _list_files(folder / "train"), _list_files(tests[0])
    return read_image_files(str(folder), f"images of {folder}", train, test, size)


def read_image_files(
    name: str, about: str, train: LabelledFiles, test: LabelledFiles, size: int | None = None
) -> TrainTestSplit:
    """Return the images of files.

    Args:
        name: name of the data set.
        about: a sentence on the data.
        train: files to train on.
        test: files to test on.
        size: as in `read_image_folder`.

    Raises:
        DataError: as in `read_image_folder`.
    """
    classes = sorted({label for _, label in train})
    unknown = sorted({label for _, label in test} - set(classes))
    if unknown:
        got = f"classes of the test split that the training split lacks: {', '.join(unknown[:5])}"
        raise errors.DataError(errors.message(f"data {name}", got, "give both the same classes"))
    files = [*train, *test]
    arrays = cached_arrays(_cache_key(files, size), lambda: _decode_files(name, files, size))
    x = torch.from_numpy(arrays["images"])
    y = torch.tensor([classes.index(label) for _, label in files], dtype=torch.long)
    n = len(train)
    return TrainTestSplit(about, x[:n], y[:n], x[n:], y[n:], Classification(len(classes)))


def _read_without_split(folder: Path, size: int | None) -> TrainTestSplit:
    files = _list_files(folder)
    if not files:
        got = f"{folder}, which holds no images"
        hint = "it must hold train/CLASS/ and test/CLASS/, or CLASS/, with images"
        raise errors.DataError(errors.message("data", got, hint))
    whole = read_image_files(str(folder), f"images of {folder}", files, [], size)
    about = f"{whole.about}, {len(files):,} of {whole.problem.outputs} classes; 30 % to test on"
    return split_at_random(about, whole.x_train, whole.y_train, whole.problem.classes)


def _list_files(folder: Path) -> LabelledFiles:
    return [
        (path, class_folder.name)
        for class_folder in sorted(folder.iterdir())
        if class_folder.is_dir()
        for path in sorted(class_folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]


def _cache_key(files: LabelledFiles, size: int | None) -> str:
    """Return a key that changes when a file changes. It hashes sizes and times of the files,
    because hashing their contents would take as long as decoding them."""
    state = hashlib.sha256(repr(size).encode())
    for path, _ in files:
        facts = path.stat()
        state.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return f"images-{state.hexdigest()[:16]}"


def _decode_files(name: str, files: LabelledFiles, size: int | None) -> Arrays:
    pixels = (decode_image(path, str(path), size) for path, _ in files)
    return {"images": np.ascontiguousarray(stack_images(pixels, len(files), name))}
