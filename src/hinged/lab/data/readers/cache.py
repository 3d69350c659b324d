"""Cache of decoded images on disk. All processes map the same files into memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from hinged import errors
from hinged.lab._read_file import errors_converted

Arrays = dict[str, NDArray[Any]]


def cache_folder() -> Path:
    """Return the folder for decoded and downloaded data.

    It is the subfolder `hinged` of the folder in the environment variable `XDG_CACHE_HOME`. If the
    variable is not set, it is `~/.cache/hinged`.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hinged"


def cached_arrays(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays of a cache entry, mapped into memory.

    The first call for a key computes and stores the arrays. Other processes wait until the arrays
    are stored. An interrupted call leaves no partial cache entry.

    Args:
        key: name of the cache entry. It must identify the source of the arrays, for example with a
            checksum.
        make: function that computes the arrays and returns them by name.

    Returns:
        The arrays by name. Changes of the arrays are not written to disk.

    Raises:
        DataError: if the cache folder cannot be written, or if its files are damaged.
    """
    folder = cache_folder() / "decoded" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{key}.lock")):
            if not folder.is_dir():
                _store(folder, make())
    except OSError as error:
        got = f"{folder}, a cache folder that cannot be written ({error.strerror})"
        hint = "set the environment variable XDG_CACHE_HOME to another folder with free space"
        raise errors.DataError(errors.message("hinged.lab.data", got, hint)) from None
    with errors_converted(lambda error: _damaged_error(folder, error)):
        # Mode "c" is copy-on-write. The files stay unchanged. Read-only arrays would make torch
        # warn.
        return {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}


def _damaged_error(folder: Path, error: Exception) -> errors.DataError:
    got = f"{folder}, a cache folder with a damaged file ({type(error).__name__})"
    hint = "delete this folder: the next call makes it again"
    return errors.DataError(errors.message("hinged.lab.data", got, hint))


def _store(folder: Path, arrays: Arrays) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # Left by a process that was killed.
    partial.mkdir()
    for name, array in arrays.items():
        with (partial / f"{name}.npy").open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
    partial.rename(folder)
