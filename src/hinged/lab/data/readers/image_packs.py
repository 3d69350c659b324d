"""Reader of image packs: one `.npz` file contains all images of a data set.

The images are encoded (as JPEG, for example) or stored as pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hinged.lab.data.readers.cache import Arrays, cached_arrays
from hinged.lab.data.readers.data_files import (
    explain_damage,
    find_data_file,
    read_npz,
    verify_sha256,
)
from hinged.lab.data.readers.image_decoding import decode_image, stack_images
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Classification


@dataclass(frozen=True)
class ImagePack:
    """Description of one `.npz` file that contains all images of a data set.

    Attributes:
        name: name of the data set.
        file: name of the file. The file is in the folder of data sets, or in the subfolder
            `images`.
        sha256: expected SHA-256 of the file.
        about: sentence that describes the data and the division into splits.
    """

    name: str
    file: str
    sha256: str
    about: str

    def path(self, folder: Path | None) -> Path:
        """Return the path of the file after verifying the checksum of the file.

        Args:
            folder: folder of data sets, or None if the user chose no folder.

        Raises:
            DataError: if `folder` is None, or if the file is missing or has another checksum.
        """
        candidates = (f"images/{self.file}", self.file)
        return verify_sha256(find_data_file(self.name, folder, candidates), self.sha256)


CIFAR10_JPEG = ImagePack(
    "cifar10-jpeg",
    "cifar10_jpeg.npz",
    "277ecdabb4789cfe6de45653c7979cd2ba40f970952c9367a80beedd89789479",
    "60,000 images of 10 classes, 32 x 32, encoded again as JPEG of quality 75, which costs "
    "accuracy: to compare activations with each other, never with figures published for CIFAR-10",
)
TINY_IMAGENET_50 = ImagePack(
    "tiny-imagenet-50",
    "tiny_imagenet_50class.npz",
    "349217e27e227fc299b8eed2c543d3d9845538aee3f2c5d2ae47e1279773c91c",
    "50 classes of Tiny ImageNet, 64 x 64, 25,000 images to train on and 2,500 to test on",
)
TINY_IMAGENET_20 = ImagePack(
    "tiny-imagenet-20",
    "tiny_imagenet_20class.npz",
    "4475aa7d4de83333233fd130fe5c39a62697080af0a27295c969eb2c928346e8",
    "20 other classes of Tiny ImageNet, 64 x 64, 10,000 images to train on and 1,000 to test on",
)
CIFAR10_EXACT_SUBSET = ImagePack(
    "cifar10-exact-subset",
    "cifar10_exact_subset.npz",
    "2266da70a69e805471f3e2d9f282a803aa529272dc48b9d5a0476c273bc1aef2",
    "a part of CIFAR-10 with its exact pixels: 5,085 images to train on and 1,017 to test on",
)


def read_encoded_pack(pack: ImagePack, folder: Path | None) -> TrainTestSplit:
    """Read a pack of encoded images.

    The file describes `N` images, training images first, with these arrays:

    - `jpeg`: the encoded bytes of all images, one image after the other.
    - `offset` `(N + 1,)`: image `i` consists of the bytes `jpeg[offset[i]:offset[i + 1]]`.
    - `label` `(N,)`: class indices.
    - `classes`: the names of the classes.
    - `n_train`: the number of training images.

    Args:
        pack: description of the file.
        folder: folder of data sets, or None if the user chose no folder.

    Raises:
        DataError: if `folder` is None, or if the file is missing, damaged, or has another checksum.
    """
    path = pack.path(folder)
    key = f"{pack.name}-named-{pack.sha256[:16]}"
    arrays = cached_arrays(key, lambda: _decode_pack(pack.name, path))
    with explain_damage(path):
        x, y = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
        n = int(arrays["n_train"])
        return TrainTestSplit(pack.about, x[:n], y[:n], x[n:], y[n:], _problem(arrays["classes"]))


def read_pixel_pack(pack: ImagePack, folder: Path | None) -> TrainTestSplit:
    """Read a pack of images that are stored as pixels.

    The file contains the arrays `x_train`, `y_train`, `x_test` and `y_test`, and the names of the
    classes as array `classes`.

    Args:
        pack: description of the file.
        folder: folder of data sets, or None if the user chose no folder.

    Raises:
        DataError: if `folder` is None, or if the file is missing, damaged, or has another checksum.
    """
    path = pack.path(folder)
    arrays = read_npz(path)
    with explain_damage(path):
        x_train, y_train, x_test, y_test = (
            torch.from_numpy(arrays[name]) for name in ("x_train", "y_train", "x_test", "y_test")
        )
        problem = _problem(arrays["classes"])
    return TrainTestSplit(pack.about, x_train, y_train, x_test, y_test, problem)


def _problem(names: NDArray[Any]) -> Classification:
    return Classification(len(names), tuple(map(str, names)))


def _decode_pack(name: str, path: Path) -> Arrays:
    pack = read_npz(path)
    with explain_damage(path):
        encoded, offset, n_train = pack["jpeg"].tobytes(), pack["offset"], int(pack["n_train"])
        if not 0 < n_train < len(offset) - 1:
            raise ValueError(f"of {len(offset) - 1} images, {n_train} are to train on")
        images = (
            decode_image(encoded[start:end], f"image {index} of {path}")
            for index, (start, end) in enumerate(pairwise(offset))
        )
        return {
            "images": stack_images(images, len(offset) - 1, name),
            "labels": pack["label"].astype(np.int64).reshape(len(offset) - 1),
            "n_train": np.asarray(n_train),
            "classes": pack["classes"].astype(str).reshape(-1),
        }
