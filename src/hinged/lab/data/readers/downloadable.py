"""Readers of public data sets that torchvision or scikit-learn can download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import datasets as sklearn_datasets
from torch import Tensor

from hinged import errors
from hinged.lab.data.readers.cache import cache_folder
from hinged.lab.data.readers.data_files import explain_damage, find_data_file
from hinged.lab.data.readers.image_folders import read_image_files
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Classification

_TINY_IMAGENET = "tiny-imagenet-200"
_TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def read_cifar(name: str, loader: str, classes: int, folder: Path | None) -> TrainTestSplit:
    """Read CIFAR-10 or CIFAR-100.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009).

    Args:
        name: name of the data set in its description.
        loader: name of the class in `torchvision.datasets`.
        classes: number of classes.
        folder: folder that contains the files. None downloads the files.

    Raises:
        DataError: if files are missing or damaged, or if the download fails.
    """
    train, test = (_load_with_torchvision(loader, folder, train=train) for train in (True, False))
    about = f"{name}: 60,000 images of {classes} classes, 32 x 32; 50,000 to train on"
    x_train, x_test = (
        torch.from_numpy(s.data).permute(0, 3, 1, 2).contiguous() for s in (train, test)
    )
    y_train, y_test = (torch.tensor(split.targets) for split in (train, test))
    problem = Classification(classes, tuple(train.classes))
    return TrainTestSplit(about, x_train, y_train, x_test, y_test, problem)


def read_svhn(folder: Path | None) -> TrainTestSplit:
    """Read the cropped digits of SVHN, without the additional training images.

    Source: Netzer et al., "Reading digits in natural images with unsupervised feature learning"
    (2011).

    Args:
        folder: folder that contains the files. None downloads the files.

    Raises:
        DataError: if files are missing or damaged, or if the download fails.
    """
    train, test = (
        _load_with_torchvision("SVHN", folder, split=split) for split in ("train", "test")
    )
    about = "house numbers of 10 digits, 32 x 32; 73,257 images to train on, 26,032 to test on"
    x_train, x_test = (torch.from_numpy(np.ascontiguousarray(s.data)) for s in (train, test))
    y_train, y_test = (torch.from_numpy(split.labels) for split in (train, test))
    return TrainTestSplit(about, x_train, y_train, x_test, y_test, Classification(10))


def read_tiny_imagenet(folder: Path | None) -> TrainTestSplit:
    """Read Tiny ImageNet. The validation images are the test split.

    Source: cs231n.stanford.edu.

    Args:
        folder: folder that contains the files. None downloads the files.

    Raises:
        DataError: if files are missing or damaged, or if the download fails.
    """
    candidates = [f"{root}/val/val_annotations.txt" for root in (_TINY_IMAGENET, ".")]
    folder = folder or _download_tiny_imagenet()
    annotations = find_data_file("tiny-imagenet", folder, candidates)
    root = annotations.parent.parent
    train = [(path, path.parent.parent.name) for path in sorted(root.glob("train/*/images/*"))]
    with explain_damage(annotations):
        lines = map(str.split, annotations.read_text(encoding="utf-8").splitlines())
        test = [(root / "val" / "images" / file, label) for file, label, *_ in lines]
    about = "Tiny ImageNet: 110,000 images of 200 classes, 64 x 64; 10,000 to test on"
    return read_image_files("tiny-imagenet", about, train, test)


def download_california_housing() -> tuple[Tensor, Tensor]:
    """Download the table California housing with scikit-learn.

    Returns:
        Inputs `(N, 8)` and targets `(N, 1)`, both in float64.

    Raises:
        DataError: if the download fails.
    """
    fetch = sklearn_datasets.fetch_california_housing
    bunch = _fetch_or_explain("california_housing", lambda: fetch(data_home=str(cache_folder())))
    return torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).unsqueeze(1)


def download_with_torchvision(loader: str) -> Path:
    """Download a data set with torchvision.

    Args:
        loader: name of the class in `torchvision.datasets`.

    Returns:
        The folder that contains the downloaded files.

    Raises:
        DataError: if the download fails.
    """
    _load_with_torchvision(loader, None, train=True)
    return cache_folder() / "torchvision"


def _load_with_torchvision(loader: str, folder: Path | None, **arguments: Any) -> Any:
    """Return a split as a torchvision dataset. torchvision verifies the checksums of the files."""
    root, download = folder or cache_folder() / "torchvision", folder is None
    dataset_class = getattr(_torchvision_datasets(), loader)
    return _fetch_or_explain(
        loader, lambda: dataset_class(root=root, download=download, **arguments), folder
    )


def _download_tiny_imagenet() -> Path:
    root = cache_folder() / "torchvision"
    if not (root / _TINY_IMAGENET / "val").is_dir():
        utils = _torchvision_datasets().utils
        _fetch_or_explain(
            "tiny-imagenet",
            lambda: utils.download_and_extract_archive(
                _TINY_IMAGENET_URL, root, md5=_TINY_IMAGENET_MD5
            ),
        )
    return root


def _fetch_or_explain(name: str, fetch: Callable[[], Any], folder: Path | None = None) -> Any:
    """Return the result of `fetch()`, or raise a `DataError` that says why `fetch` failed."""
    try:
        return fetch()
    except errors.HingedError:
        raise
    except Exception as error:  # The libraries that read the files raise errors of many classes.
        reason = " ".join(str(error).split())
        if folder is None:
            got = f"{name}, which could not be downloaded ({reason})"
            hint = "without a network connection, set `data_dir` to a folder that contains the data"
        else:
            got = (
                f"{folder}, a folder without all files of {name}, or with damaged files ({reason})"
            )
            hint = "copy the files into the folder, with the subfolders that torchvision uses"
        raise errors.DataError(errors.message("data", got, hint)) from None


def _torchvision_datasets() -> Any:
    errors.require_extra("vision", ("torchvision",))
    import torchvision.datasets

    return torchvision.datasets
