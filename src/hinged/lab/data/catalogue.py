"""All data sets by name, and the user's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hinged import errors
from hinged.lab.data.dataset import DataSet, scale
from hinged.lab.data.embedded import EMBEDDED
from hinged.lab.data.generated import GENERATED
from hinged.lab.data.readers import (
    bccd,
    columns,
    idx,
    image_folders,
    named_tables,
    packs,
    public,
    user_data,
)
from hinged.lab.data.readers.data_files import data_folder
from hinged.lab.data.splits import Splits, check, subset
from hinged.lab.experiment.user_code import is_function


def _embedded(read: Callable[[], Splits], _folder: Path | None) -> Splits:
    return read()


DATA_SETS: dict[str, Callable[[Path | None], Splits]] = {
    **{name: partial(_embedded, read) for name, read in (EMBEDDED | GENERATED).items()},
    "mnist": partial(idx.read, idx.MNIST),
    "fashion-mnist": partial(idx.read, idx.FASHION_MNIST),
    "cifar10": partial(public.cifar, "CIFAR-10", "CIFAR10", 10),
    "cifar100": partial(public.cifar, "CIFAR-100", "CIFAR100", 100),
    "svhn": public.svhn,
    "tiny-imagenet": public.tiny_imagenet,
    "cifar10-jpeg": partial(packs.read_encoded, packs.CIFAR10_JPEG),
    "cifar10-exact-subset": partial(packs.read_pixels, packs.CIFAR10_EXACT_SUBSET),
    "tiny-imagenet-50": partial(packs.read_encoded, packs.TINY_IMAGENET_50),
    "tiny-imagenet-20": partial(packs.read_encoded, packs.TINY_IMAGENET_20),
    "bccd": bccd.reduced_bccd,
    **{name: partial(named_tables.regression, name) for name in named_tables.PACKS},
}
"""Each returns its splits, given the folder of data sets, or None where there is none."""


def is_known(name: str) -> bool:
    """Whether a text names a data set: one of `DATA_SETS`, `file.py:function`, `table.csv:column`
    or a folder of images.

    >>> is_known("mnist"), is_known("mine.py:make_loaders"), is_known("minst")
    (True, True, False)
    """
    path, _ = _path(name)
    return name in DATA_SETS or is_function(name) or path.suffix in columns.ENDINGS or path.is_dir()


def check_name(name: str) -> None:
    """Raise where a text names no data set.

    Raises:
        UnknownNameError: it is neither a name of `DATA_SETS` nor data of the user's own.
        DataError: it is the path of a folder that does not exist.
    """
    if is_known(name):
        return
    if len(Path(name).parts) > 1:
        hint = "give a folder of images, a table.csv or .parquet, or my.py:make_loaders"
        raise errors.DataError(errors.message("--data", f"{name}, which is no folder", hint))
    raise errors.unknown_name("--data", name, DATA_SETS)


def load(
    name: str,
    folder: Path | None = None,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
) -> DataSet:
    """Return a data set; the last one is held, and returned again when it is asked for again.

    Args:
        name: as `is_known` tells.
        folder: the folder of data sets, by default that of `HINGED_DATA`. Where there is none,
            those that public libraries load are downloaded.
        train_size: only so many training samples, chosen by the data alone; None for all.
        test_size: as `train_size`.

    Raises:
        UnknownNameError: there is no data set of this name.
        DataError: the data are missing, damaged, or none that a network can be trained on.
        ArgumentError: a subset larger than the data, or without a sample for each class.
    """
    check_name(name)
    path, _ = _path(name)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _load(name, data_folder(folder), train_size, test_size, changed)


@functools.lru_cache(maxsize=1)
def _load(
    name: str, folder: Path | None, train_size: int | None, test_size: int | None, _changed: int
) -> DataSet:
    made = _read(name, folder)
    if isinstance(made, DataSet):
        if train_size or test_size:
            hint = "give the loader's own (train, test) instead of a DataSet"
            raise errors.ArgumentError(errors.message("--train-size", f"a subset of {name}", hint))
        return made
    return scale(name, subset(check(f"--data {name}", made), train_size, test_size))


def _read(name: str, folder: Path | None) -> Splits | DataSet:
    if name in DATA_SETS:
        return DATA_SETS[name](folder)
    if is_function(name):
        return user_data.read(name)
    path, part = _path(name)
    if path.suffix in columns.ENDINGS:
        return columns.read(path, part)
    return image_folders.read(path, None if part is None else int(part))


def _path(name: str) -> tuple[Path, str | None]:
    """Return the path of `path` or `path:part`; of a folder, the part is the images' size."""
    path, _, part = name.rpartition(":")
    if path and (part.isdigit() or path.endswith(columns.ENDINGS) or path.endswith(".py")):
        return Path(path), part
    return Path(name), None
