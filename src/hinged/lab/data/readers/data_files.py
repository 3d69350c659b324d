"""Functions that find data files, verify checksums and decompress files."""

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
"""Environment variable that contains the path of the folder of data sets."""


def find_data_folder(folder: Path | None) -> Path | None:
    """Return the folder that contains the files of data sets.

    Args:
        folder: folder that the user chose. None takes the folder in the environment variable
            `HINGED_DATA`.

    Returns:
        The folder, or None if the user chose no folder and the variable is not set.

    Raises:
        DataError: if the folder does not exist.
    """
    named = os.environ.get(VARIABLE)
    folder = folder or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        hint = f"set `data_dir` or the environment variable {VARIABLE} to an existing folder"
        raise errors.DataError(
            errors.message("data_dir", f"{folder}, which is not an existing folder", hint)
        )
    return folder


def find_data_file(name: str, folder: Path | None, candidates: Iterable[str]) -> Path:
    """Return the path of the first candidate that exists in the folder of data sets.

    Args:
        name: name of the data set in error messages.
        folder: folder of data sets, or None if the user chose no folder.
        candidates: possible paths of the file, relative to the folder.

    Raises:
        DataError: if `folder` is None, or if no candidate exists.
    """
    candidates = list(candidates)
    if folder is None:
        hint = f"set `data_dir` or {VARIABLE} to the folder that contains {candidates[0]}"
        raise errors.DataError(errors.message(f"data {name}", "no folder of data sets", hint))
    for candidate in candidates:
        if (folder / candidate).exists():
            return folder / candidate
    got = f"{folder}, a folder without {candidates[0]}"
    raise errors.DataError(
        errors.message(
            f"data {name}", got, "put this file into the folder, or choose another folder"
        )
    )


def verify_sha256(path: Path, sha256: str) -> Path:
    """Return the path unchanged after verifying the checksum of the file.

    Args:
        path: path of the file.
        sha256: expected SHA-256 checksum, in hexadecimal digits.

    Raises:
        DataError: if the file has another checksum.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise _checksum_error(path, "SHA-256", found, sha256)
    return path


def read_unpacked(path: Path, md5: str) -> bytes:
    """Return the bytes of a file after verifying the checksum. Files `*.gz` are decompressed.

    Args:
        path: path of the file.
        md5: expected MD5 checksum of the uncompressed bytes, in hexadecimal digits.

    Raises:
        DataError: if the file is damaged, or if the bytes have another checksum.
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
    """Return the arrays of an `.npz` file, by name.

    Raises:
        DataError: if the file is damaged.
    """
    try:
        # numpy does not close a path that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise damaged_file_error(path, error) from None


def damaged_file_error(path: Path | str, error: Exception) -> errors.DataError:
    """Return the error for a file that cannot be read.

    Args:
        path: path or description of the file, which starts the error message.
        error: the exception of the function that reads the file.
    """
    got = f"a file that cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
    return errors.DataError(
        errors.message(str(path), got, "the file is damaged or incomplete: copy it again")
    )


def _checksum_error(path: Path, kind: str, found: str, expected: str) -> errors.DataError:
    got = f"a file with {kind} {found[:12]}... instead of {expected[:12]}..."
    hint = "the file is damaged, incomplete or another version: copy it again"
    return errors.DataError(errors.message(str(path), got, hint))
