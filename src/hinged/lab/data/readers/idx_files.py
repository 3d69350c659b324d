"""Reader of MNIST and Fashion-MNIST: files in the IDX format, optionally gzipped.

Source of the format: yann.lecun.com/exdb/mnist.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hinged.lab.data.readers.data_files import explain_damage, find_data_file, read_unpacked
from hinged.lab.data.readers.downloadable import download_with_torchvision
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Classification


@dataclass(frozen=True)
class IdxDataSet:
    """Description of a data set that consists of four IDX files.

    Attributes:
        name: name of the data set.
        loader: name of the class in `torchvision.datasets` that downloads the files.
        about: sentence that describes the data and the division into splits.
        md5: MD5 checksums of the uncompressed files, in the order of `FILES`.
        classes: names of the ten classes; empty if the classes are digits.
    """

    name: str
    loader: str
    about: str
    md5: tuple[str, str, str, str]
    classes: tuple[str, ...] = ()


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST = IdxDataSet(
    "mnist",
    "MNIST",
    "70,000 handwritten digits, 28 x 28; 60,000 to train on, 10,000 to test on",
    (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
FASHION_MNIST = IdxDataSet(
    "fashion-mnist",
    "FashionMNIST",
    "70,000 pictures of clothes in 10 classes, 28 x 28; 60,000 to train on, 10,000 to test on",
    (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    (
        *("T-shirt", "trousers", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
)

MOST_BYTES = 2**26
"""Largest number of uncompressed bytes of an IDX file: 64 MiB. The largest file of MNIST has 47
million bytes."""


def read_idx_data_set(source: IdxDataSet, folder: Path | None) -> TrainTestSplit:
    """Read a data set from its four IDX files.

    Args:
        source: description of the data set.
        folder: folder that contains the files. None downloads the files with torchvision.

    Raises:
        DataError: if a file is missing, damaged, or has another checksum.
    """
    folder = folder or download_with_torchvision(source.loader)
    folders = [f"images/{source.name}", source.name, f"{source.loader}/raw", "."]
    x_train, y_train, x_test, y_test = (
        parse_idx_file(find_data_file(source.name, folder, _candidates(folders, file)), md5)
        for file, md5 in zip(FILES, source.md5, strict=True)
    )
    x_train, x_test = x_train.unsqueeze(1), x_test.unsqueeze(1)
    problem = Classification(10, source.classes)
    return TrainTestSplit(source.about, x_train, y_train, x_test, y_test, problem)


def parse_idx_file(path: Path, md5: str) -> Tensor:
    """Read an IDX file of unsigned bytes as a tensor in uint8.

    Args:
        path: path of the file, which may be gzipped (`.gz`).
        md5: expected MD5 checksum of the uncompressed bytes.

    Raises:
        DataError: if the checksum differs, if the number of bytes does not fit the header, or if
            there are more than `MOST_BYTES` bytes.
    """
    content = read_unpacked(path, md5, MOST_BYTES)
    with explain_damage(path):
        zero, kind, axes = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{axes}I", content, 4)
        start = 4 + 4 * axes
        if zero or kind != 8 or len(content) - start != math.prod(shape):
            raise ValueError(f"the header says shape {shape}, which does not fit the data")
        values = np.frombuffer(bytearray(content), np.uint8, offset=start)
        return torch.from_numpy(values.reshape(shape))


def _candidates(folders: list[str], file: str) -> list[str]:
    return [f"{folder}/{file}{suffix}" for folder in folders for suffix in (".gz", "")]
