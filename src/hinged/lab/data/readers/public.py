"""Data sets that public libraries load: from a folder, or from the network where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn import datasets as sklearn_datasets
from torch import Tensor

from hinged import errors
from hinged.lab.data.readers import image_folders
from hinged.lab.data.readers.cache import cache_folder
from hinged.lab.data.readers.data_files import find
from hinged.lab.data.splits import Splits
from hinged.lab.problems import Classification

_TINY_IMAGENET = "tiny-imagenet-200"
_TINY_IMAGENET_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def cifar(name: str, loader: str, classes: int, folder: Path | None) -> Splits:
    """Return CIFAR-10 or CIFAR-100. Source: Krizhevsky, "Learning multiple layers of features from
    tiny images" (2009)."""
    train, test = (_torchvision(loader, folder, train=train) for train in (True, False))
    about = f"{name}: 60,000 images of {classes} classes, 32 x 32; 50,000 to train on"
    x_train, x_test = (
        torch.from_numpy(s.data).permute(0, 3, 1, 2).contiguous() for s in (train, test)
    )
    y_train, y_test = (torch.tensor(split.targets) for split in (train, test))
    return Splits(about, x_train, y_train, x_test, y_test, Classification(classes))


def svhn(folder: Path | None) -> Splits:
    """Return the cropped digits of SVHN, without its extra images. Source: Netzer et al., "Reading
    digits in natural images with unsupervised feature learning" (2011)."""
    train, test = (_torchvision("SVHN", folder, split=split) for split in ("train", "test"))
    about = "house numbers of 10 digits, 32 x 32; 73,257 images to train on, 26,032 to test on"
    x_train, x_test = (torch.from_numpy(np.ascontiguousarray(s.data)) for s in (train, test))
    y_train, y_test = (torch.from_numpy(split.labels) for split in (train, test))
    return Splits(about, x_train, y_train, x_test, y_test, Classification(10))


def tiny_imagenet(folder: Path | None) -> Splits:
    """Return Tiny ImageNet, its validation split to test on. Source: cs231n.stanford.edu."""
    places = [f"{place}/val/val_annotations.txt" for place in (_TINY_IMAGENET, ".")]
    annotations = find("tiny-imagenet", folder or _download_tiny_imagenet(), places)
    root = annotations.parent.parent
    train = [(path, path.parent.parent.name) for path in sorted(root.glob("train/*/images/*"))]
    notes = annotations.read_text().splitlines()
    test = [(root / "val" / "images" / file, kind) for file, kind, *_ in map(str.split, notes)]
    about = "Tiny ImageNet: 110,000 images of 200 classes, 64 x 64; 10,000 to test on"
    return image_folders.read_listed("tiny-imagenet", about, train, test)


def california_housing() -> tuple[Tensor, Tensor]:
    """Return inputs `(N, 8)` and targets `(N, 1)` of scikit-learn's California housing."""
    fetch = sklearn_datasets.fetch_california_housing
    bunch = _fetched("california_housing", lambda: fetch(data_home=str(cache_folder())))
    return torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).unsqueeze(1)


def download(loader: str) -> Path:
    """Have torchvision download a data set, and return the folder it is in."""
    _torchvision(loader, None, train=True)
    return cache_folder() / "torchvision"


def _torchvision(loader: str, folder: Path | None, **arguments: Any) -> Any:
    """Return a split as torchvision reads it, which verifies its checksums."""
    root, download = folder or cache_folder() / "torchvision", folder is None
    kind = getattr(_datasets(), loader)
    return _fetched(loader, lambda: kind(root=root, download=download, **arguments), folder)


def _download_tiny_imagenet() -> Path:
    root = cache_folder() / "torchvision"
    if not (root / _TINY_IMAGENET / "val").is_dir():
        utils = _datasets().utils
        _fetched(
            "tiny-imagenet",
            lambda: utils.download_and_extract_archive(
                _TINY_IMAGENET_URL, root, md5=_TINY_IMAGENET_MD5
            ),
        )
    return root


def _fetched(name: str, fetch: Callable[[], Any], folder: Path | None = None) -> Any:
    """Return what a public loader gives, or raise one sentence where it fails."""
    try:
        return fetch()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if folder is None:
            got = f"no download ({reason})"
            hint = "where there is no network, give the folder that holds the data with --data-dir"
        else:
            got = f"{folder}, in which torchvision finds no whole {name}"
            hint = "put the files there as torchvision lays them out"
        raise errors.DataError(errors.message(f"hinged.lab.data, {name}", got, hint)) from None


def _datasets() -> Any:
    errors.require_extra("vision", ("torchvision",))
    import torchvision.datasets

    return torchvision.datasets
