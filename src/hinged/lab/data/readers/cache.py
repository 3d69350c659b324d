"""Decoded images on disk, so that they are decoded once and all processes share one copy."""

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
    """Return where decoded and downloaded data go: in `XDG_CACHE_HOME`, by default `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "hinged"


def cached(key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays kept under `key`, mapped into memory; make and keep them the first time.

    Two processes that ask at once make them once. They appear whole, by renaming, or not at all.

    Args:
        key: names what the arrays are made from, its checksum included.
        make: returns them, by name.

    Raises:
        DataError: the cache folder cannot be written to.
    """
    folder = cache_folder() / "decoded" / key
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{key}.lock")):
            if not folder.is_dir():
                _write(folder, make())
    except OSError as error:
        got = f"{folder}, which cannot be written ({error.strerror})"
        hint = "set XDG_CACHE_HOME to a folder with room for decoded data"
        raise errors.DataError(errors.message("hinged.lab.data", got, hint)) from None
    # Copy on write: torch warns about memory that is read-only, and the file is never changed.
    return {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}


def _write(folder: Path, arrays: Arrays) -> None:
    remove_partials(folder.parent)
    with atomic_path(folder) as partial:
        partial.mkdir()
        for name, array in arrays.items():
            with (partial / f"{name}.npy").open("wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
