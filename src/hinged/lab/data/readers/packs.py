"""Packs: one `.npz` file for a whole set of images, encoded or as pixels, or for a table."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hinged.lab.data.readers import jpeg
from hinged.lab.data.readers.cache import Arrays, cached
from hinged.lab.data.readers.data_files import damaged, find, verify
from hinged.lab.data.splits import Splits
from hinged.lab.problems import Classification


@dataclass(frozen=True)
class Pack:
    """One file of images.

    Attributes:
        name: of the data set.
        file: the name of its file, in the folder of data sets or in `images` there.
        sha256: of the file.
        about: what it is, in a sentence.
    """

    name: str
    file: str
    sha256: str
    about: str

    def path(self, folder: Path | None) -> Path:
        """Return the file, its checksum verified."""
        return verify(find(self.name, folder, (f"images/{self.file}", self.file)), self.sha256)


CIFAR10_JPEG = Pack(
    "cifar10-jpeg",
    "cifar10_jpeg.npz",
    "277ecdabb4789cfe6de45653c7979cd2ba40f970952c9367a80beedd89789479",
    "60,000 images of 10 classes, 32 x 32, encoded anew as JPEG of quality 75, which costs "
    "accuracy: to compare activations with each other, never with figures published for CIFAR-10",
)
TINY_IMAGENET_50 = Pack(
    "tiny-imagenet-50",
    "tiny_imagenet_50class.npz",
    "349217e27e227fc299b8eed2c543d3d9845538aee3f2c5d2ae47e1279773c91c",
    "50 classes of Tiny ImageNet, 64 x 64, 25,000 images to train on and 2,500 to test on",
)
TINY_IMAGENET_20 = Pack(
    "tiny-imagenet-20",
    "tiny_imagenet_20class.npz",
    "4475aa7d4de83333233fd130fe5c39a62697080af0a27295c969eb2c928346e8",
    "20 other classes of Tiny ImageNet, 64 x 64, 10,000 images to train on and 1,000 to test on",
)
CIFAR10_EXACT_SUBSET = Pack(
    "cifar10-exact-subset",
    "cifar10_exact_subset.npz",
    "2266da70a69e805471f3e2d9f282a803aa529272dc48b9d5a0476c273bc1aef2",
    "a part of CIFAR-10 with its exact pixels: 5,085 images to train on and 1,017 to test on",
)


def read_encoded(pack: Pack, folder: Path | None) -> Splits:
    """Return a pack of encoded images (arrays `jpeg`, `offset`, `label`, `n_train`, `classes`).

    Raises:
        DataError: it is missing, or its bytes are not those known.
    """
    path = pack.path(folder)
    arrays = cached(f"{pack.name}-{pack.sha256[:16]}", lambda: _decoded(pack.name, path))
    x, y = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    n = int(arrays["n_train"])
    return Splits(pack.about, x[:n], y[:n], x[n:], y[n:], Classification(int(arrays["classes"])))


def read_pixels(pack: Pack, folder: Path | None) -> Splits:
    """Return a pack of pixels (arrays `x_train`, `y_train`, `x_test`, `y_test`, `classes`).

    Raises:
        DataError: it is missing, or its bytes are not those known.
    """
    arrays = open_npz(pack.path(folder))
    x_train, y_train, x_test, y_test = (
        torch.from_numpy(arrays[name]) for name in ("x_train", "y_train", "x_test", "y_test")
    )
    return Splits(
        pack.about, x_train, y_train, x_test, y_test, Classification(len(arrays["classes"]))
    )


def open_npz(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file.

    Raises:
        DataError: it is damaged.
    """
    try:
        # Opened here: numpy would leave a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise damaged(path, error) from None


def _decoded(name: str, path: Path) -> Arrays:
    pack = open_npz(path)
    encoded, offset = pack["jpeg"].tobytes(), pack["offset"]
    images = (
        jpeg.decode(encoded[start:end], f"image {place} of {path}")
        for place, (start, end) in enumerate(pairwise(offset))
    )
    return {
        "images": jpeg.stack(images, len(offset) - 1, name),
        "labels": pack["label"].astype(np.int64),
        "n_train": np.asarray(pack["n_train"]),
        "classes": np.asarray(len(pack["classes"])),
    }
