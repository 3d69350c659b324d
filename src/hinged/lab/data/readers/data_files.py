"""Data files: finding them, verifying their checksums, unpacking them."""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hinged import errors

VARIABLE = "HINGED_DATA"
"""Environment variable that names the folder of data sets."""


def find_data_folder(folder: Path | None) -> Path | None:
    """Return the folder of data sets: the one given, or that of `HINGED_DATA`, or None.

    Raises:
        DataError: the folder does not exist.
    """
    named = os.environ.get(VARIABLE)
    folder = folder or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        hint = f"give the folder that holds the data as `data_dir` or in {VARIABLE}"
        raise errors.DataError(errors.message("data_dir", f"{folder}, which is no folder", hint))
    return folder


def find_data_file(name: str, folder: Path | None, candidates: Iterable[str]) -> Path:
    """Return the first of the candidates that exists in the folder.

    Args:
        name: name of the data set.
        folder: the folder of data sets, or None.
        candidates: paths in the folder.

    Raises:
        DataError: there is no folder, or no candidate in it.
    """
    candidates = list(candidates)
    if folder is None:
        hint = f"give the folder that holds {candidates[0]} as `data_dir` or in {VARIABLE}"
        raise errors.DataError(errors.message(f"data {name}", "no folder to read it from", hint))
    for candidate in candidates:
        if (folder / candidate).exists():
            return folder / candidate
    got = f"{folder}, which holds no {candidates[0]}"
    raise errors.DataError(errors.message(f"data {name}", got, "put the data there"))


def verify_sha256(path: Path, sha256: str) -> Path:
    """Return the path of a file with this SHA-256.

    Raises:
        DataError: the file has another one.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise _checksum_error(path, "SHA-256", found, sha256)
    return path


def read_unpacked(path: Path, md5: str) -> bytes:
    """Return the bytes of a file, unpacked if it is gzipped. `md5` is that of the unpacked bytes.

    Raises:
        DataError: the file is damaged, or the bytes have another checksum.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise damaged_file_error(path, error) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise _checksum_error(path, "MD5", found, md5)
    return content


def read_npz(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file.

    Raises:
        DataError: the file is damaged.
    """
    try:
        # Opened here, because numpy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise damaged_file_error(path, error) from None


def damaged_file_error(path: Path | str, error: Exception) -> errors.DataError:
    """Return the error for a file that cannot be read."""
    got = f"a file that cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
    return errors.DataError(
        errors.message(str(path), got, "it is damaged or incomplete: copy it again")
    )


def _checksum_error(path: Path, kind: str, found: str, expected: str) -> errors.DataError:
    got = f"bytes with {kind} {found[:12]}..., not {expected[:12]}..."
    hint = "it is another file, damaged or incomplete: copy it again"
    return errors.DataError(errors.message(str(path), got, hint))
