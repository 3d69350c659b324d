"""Functions that find data files, verify checksums, decompress files and explain damaged files."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hinged import errors
from hinged.lab._read_file import errors_converted

VARIABLE = "HINGED_DATA"
"""Environment variable that contains the path of the folder of data sets."""
MOST_BYTES = 2**30
"""Largest number of bytes that an archive of a data set may contain after decompression: 1 GiB."""
_BLOCK = 2**20


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
    if folder is not None and not os.path.isdir(folder):  # `Path.is_dir` refuses long names.
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
        if (folder / candidate).is_file():
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
    digest = hashlib.sha256()
    with explain_damage(path), path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    if found != sha256:
        raise _checksum_error(path, "SHA-256", found, sha256)
    return path


def read_unpacked(path: Path, md5: str, most: int) -> bytes:
    """Return the bytes of a file after verifying the checksum. Files `*.gz` are decompressed.

    Args:
        path: path of the file.
        md5: expected MD5 checksum of the uncompressed bytes, in hexadecimal digits.
        most: largest number of uncompressed bytes. No more bytes are read or decompressed.

    Raises:
        DataError: if the file is damaged, if it contains more bytes, or if the bytes have another
            checksum.
    """
    with explain_damage(path):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"it contains more than {most:,} bytes")
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise _checksum_error(path, "MD5", found, md5)
    return content


def read_npz(path: Path) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file, by name.

    Raises:
        DataError: if the file is damaged, or contains more than `MOST_BYTES` bytes.
    """
    with explain_damage(path), zipfile.ZipFile(path) as archive:
        check_unpacked_size(archive)
        entries = archive.infolist()
        return {each.filename.removesuffix(".npy"): _read_npy(archive, each) for each in entries}


def _read_npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Return the array of an entry, after comparing the shape in the header with the size."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        formats = np.lib.format
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, _, dtype = read(file)
        needed = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or file.tell() + needed != entry.file_size:
            raise ValueError(f"the array {entry.filename} does not fit its header")
    with archive.open(entry) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def check_unpacked_size(archive: zipfile.ZipFile) -> None:
    """Raise a `ValueError` if an archive contains more than `MOST_BYTES` bytes.

    The function reads only the table of contents. `zipfile` never unpacks more than this table
    says.
    """
    size = sum(each.file_size for each in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"it unpacks to {size:,} bytes; at most {MOST_BYTES:,} are allowed")


def explain_damage(path: Path | str) -> AbstractContextManager[None]:
    """Convert every error in a `with` block into a `DataError` that names the file.

    Args:
        path: path or description of the file that the block reads.

    Raises:
        DataError: if the block raises an error. An error of hinged is not changed.
    """
    return errors_converted(lambda error: damaged_file_error(path, error))


def damaged_file_error(path: Path | str, error: Exception) -> errors.DataError:
    """Return the error for a file that cannot be read.

    Args:
        path: path or description of the file, which starts the error message.
        error: the exception of the function that reads the file.
    """
    reason = " ".join(str(error).split())[:300]
    if not reason or isinstance(error, KeyError):
        reason = f"{type(error).__name__} {reason}".strip()
    got = f"a file that cannot be read ({reason})"
    hint = "the file is damaged or incomplete: copy it again"
    if isinstance(error, UnicodeError):
        hint = "save it again with the encoding UTF-8"
    return errors.DataError(errors.message(str(path), got, hint))


def _checksum_error(path: Path, kind: str, found: str, expected: str) -> errors.DataError:
    got = f"a file with {kind} {found[:12]}... instead of {expected[:12]}..."
    hint = "the file is damaged, incomplete or another version: copy it again"
    return errors.DataError(errors.message(str(path), got, hint))
