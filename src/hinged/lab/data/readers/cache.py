"""Decoded images on disk: decoded once, and mapped into memory by all processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from hinged import errors
from hinged.atomic_files import atomic_path, remove_partials

Arrays = dict[str, NDArray[Any]]


def cache_folder() -> Path:
    """Return the folder of decoded and downloaded data, in `XDG_CACHE_HOME` or `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hinged"


def cached_arrays(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored under `key`, mapped into memory. The first call makes and stores
    them; other processes wait for it. They appear on disk complete or not at all.

    Args:
        key: identifies the source of the arrays, for example by its checksum.
        make: returns the arrays by name.

    Raises:
        DataError: the cache folder cannot be written to.
    """
    folder = cache_folder() / "decoded" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{key}.lock")):
            if not folder.is_dir():
                _store(folder, make())
    except OSError as error:
        got = f"{folder}, which cannot be written ({error.strerror})"
        hint = "set XDG_CACHE_HOME to a folder with room for decoded data"
        raise errors.DataError(errors.message("hinged.lab.data", got, hint)) from None
    # Mode "c" copies on write: torch warns about read-only memory, and the file must not change.
    return {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}


def _store(folder: Path, arrays: Arrays) -> None:
    remove_partials(folder.parent)
    with atomic_path(folder) as partial:
        partial.mkdir()
        for name, array in arrays.items():
            with (partial / f"{name}.npy").open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
