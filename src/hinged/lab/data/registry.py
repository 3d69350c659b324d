"""Loading of data sets: public data sets by name, and the user's data by path."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hinged import errors
from hinged.lab.data.data_set import DataSet, scale_split
from hinged.lab.data.readers import (
    bccd,
    downloadable,
    idx_files,
    image_folders,
    image_packs,
    regression_tables,
    table_files,
    user_function,
)
from hinged.lab.data.readers.data_files import find_data_folder
from hinged.lab.data.sklearn_data import SKLEARN_DATA
from hinged.lab.data.synthetic import SYNTHETIC
from hinged.lab.data.train_test_split import TrainTestSplit, check_split, take_subset
from hinged.lab.experiment.settings import TableSettings
from hinged.user_code import names_function

_NO_SETTINGS = TableSettings()


def _without_folder(read: Callable[[], TrainTestSplit], _folder: Path | None) -> TrainTestSplit:
    return read()


DATA_SETS: dict[str, Callable[[Path | None], TrainTestSplit]] = {
    **{name: partial(_without_folder, read) for name, read in (SKLEARN_DATA | SYNTHETIC).items()},
    "mnist": partial(idx_files.read_idx_data_set, idx_files.MNIST),
    "fashion-mnist": partial(idx_files.read_idx_data_set, idx_files.FASHION_MNIST),
    "cifar10": partial(downloadable.read_cifar, "CIFAR-10", "CIFAR10", 10),
    "cifar100": partial(downloadable.read_cifar, "CIFAR-100", "CIFAR100", 100),
    "svhn": downloadable.read_svhn,
    "tiny-imagenet": downloadable.read_tiny_imagenet,
    "cifar10-jpeg": partial(image_packs.read_encoded_pack, image_packs.CIFAR10_JPEG),
    "cifar10-exact-subset": partial(image_packs.read_pixel_pack, image_packs.CIFAR10_EXACT_SUBSET),
    "tiny-imagenet-50": partial(image_packs.read_encoded_pack, image_packs.TINY_IMAGENET_50),
    "tiny-imagenet-20": partial(image_packs.read_encoded_pack, image_packs.TINY_IMAGENET_20),
    "bccd": bccd.read_reduced_bccd,
    **{
        name: partial(regression_tables.read_regression_table, name)
        for name in regression_tables.CHECKSUMS
    },
}
"""Functions that read the public data sets, by name. The argument of each function is the folder
that contains the files of all data sets, or None if the user chose no folder."""


def is_data_set_name(name: str) -> bool:
    """Return whether a text names a data set.

    Valid texts are a name in `DATA_SETS`, `file.py:function`, `table.csv:column`, or the path of a
    folder of images. The folder must exist; files are not checked.

    >>> is_data_set_name("mnist"), is_data_set_name("mine.py:load"), is_data_set_name("minst")
    (True, True, False)
    """
    path, _ = _split_path(name)
    known = name in DATA_SETS or names_function(name) or is_table_path(name)
    return known or os.path.isdir(path)


def is_table_path(name: str) -> bool:
    """Return whether a text is the path of a table, with or without its target column.

    >>> is_table_path("houses.csv:price"), is_table_path("mnist")
    (True, False)
    """
    return _split_path(name)[0].suffix in table_files.SUFFIXES


def check_table_settings(name: str, table: TableSettings) -> None:
    """Raise an error if settings of a table are given for another data set.

    Args:
        name: name of the data set.
        table: the settings.

    Raises:
        ArgumentError: if a setting has a value and the data set is not the path of a table.
    """
    given = [setting for setting, value in table.model_dump().items() if value]
    if given and not is_table_path(name):
        got = f"a value for the data set {name}"
        hint = "only a .csv or .parquet file has this setting: leave it out"
        raise errors.ArgumentError(errors.message(f"table.{given[0]}", got, hint))


def check_data_set_name(name: str) -> None:
    """Raise an error if a text does not name a data set.

    Args:
        name: text that the user gave as the data set.

    Raises:
        UnknownNameError: if the text is neither a name in `DATA_SETS` nor a path.
        DataError: if the text is the path of a folder that does not exist.
    """
    if is_data_set_name(name):
        return
    path, _ = _split_path(name)
    if "/" in name or os.sep in name or name.startswith((".", "~")):
        kind = "a file" if os.path.isfile(path) else "not an existing folder"
        hint = "give a folder of images, a .csv or .parquet table, or my.py:make_loaders"
        raise errors.DataError(errors.message("data", f"{path}, which is {kind}", hint))
    also = ", or an existing folder of images, a table.csv, or my.py:make_loaders"
    raise errors.unknown_name("data", name, DATA_SETS, also)


def load_data_set(
    name: str,
    folder: Path | None = None,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    table: TableSettings = _NO_SETTINGS,
) -> DataSet:
    """Return a data set by name or path, with checked values and scaled inputs.

    The last data set stays in memory. Another call with the same arguments returns the same object,
    unless the file has changed.

    Args:
        name: a name in `DATA_SETS`, `file.py:function`, `table.csv:column`, or the path of a folder
            of images.
        folder: folder that contains the files of the data sets. None takes the folder in the
            environment variable `HINGED_DATA`. If neither is set, public data sets are downloaded.
        train_size: number of training samples; None takes all. The selection is the same at every
            call and does not depend on a seed.
        test_size: number of test samples, selected in the same way; None takes all.
        table: settings of a table of the user; other data sets do not have any.

    Raises:
        UnknownNameError: if no data set has this name.
        DataError: if the data are missing, damaged or unsuitable for training.
        ArgumentError: if a size is larger than the number of samples or smaller than the number of
            classes, if a size is given for a function that returns a `DataSet`, or if settings of a
            table are given for another data set or do not fit the table.
    """
    check_data_set_name(name)
    check_table_settings(name, table)
    path, _ = _split_path(name)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _load_cached(name, find_data_folder(folder), train_size, test_size, table, changed)


@functools.lru_cache(maxsize=1)
def _load_cached(
    name: str,
    folder: Path | None,
    train_size: int | None,
    test_size: int | None,
    table: TableSettings,
    _changed: int,
) -> DataSet:
    data = check_split(f"data {name}", _read_data_set(name, folder, table))
    if isinstance(data, DataSet):
        if train_size or test_size:
            size = "train_size" if train_size else "test_size"
            hint = f"let the function {name} return (train, test), or leave {size} out"
            raise errors.ArgumentError(
                errors.message(size, "a number for a function that returns a DataSet", hint)
            )
        return data
    return scale_split(name, take_subset(data, train_size, test_size))


def _read_data_set(
    name: str, folder: Path | None, table: TableSettings
) -> TrainTestSplit | DataSet:
    if name in DATA_SETS:
        return DATA_SETS[name](folder)
    if names_function(name):
        return user_function.read_from_function(name)
    path, part = _split_path(name)
    if is_table_path(name):
        return table_files.read_csv_or_parquet(path, part, table)
    return image_folders.read_image_folder(path, None if part is None else int(part))


def _split_path(name: str) -> tuple[Path, str | None]:
    """Split the user's text `path` or `path:part`, and return `path` and `part`.

    `part` is the target column of a table, the name of a function in a Python file, or the image
    size for a folder of images. None means that the text contains only `path`.
    """
    for suffix in table_files.SUFFIXES:
        path, colon, columns = name.partition(f"{suffix}:")
        if colon:
            return Path(path + suffix), columns
    path, _, part = name.rpartition(":")
    if path and (part.isdecimal() or path.endswith(".py")):
        return Path(path), part
    return Path(name), None
