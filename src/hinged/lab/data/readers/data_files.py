"""Files of data: where they lie, and whether they are what they should be."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from hinged import errors

VARIABLE = "HINGED_DATA"
"""Names the folder of data sets where no other is given."""


def data_folder(folder: Path | None) -> Path | None:
    """Return the folder of data sets: the one given, or that of `HINGED_DATA`, or None.

    Raises:
        DataError: it does not exist.
    """
    named = os.environ.get(VARIABLE)
    folder = folder or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        hint = f"give the folder that holds the data with --data-dir or {VARIABLE}"
        raise errors.DataError(errors.message("--data-dir", f"{folder}, which is no folder", hint))
    return folder


def find(name: str, folder: Path | None, places: Iterable[str]) -> Path:
    """Return the first of `places` that exists in the folder.

    Raises:
        DataError: there is no folder, or none of them in it.
    """
    places = list(places)
    if folder is None:
        got, hint = "no folder to read it from", f"give the one that holds {places[0]}"
        hint += f" with --data-dir or {VARIABLE}"
        raise errors.DataError(errors.message(f"--data {name}", got, hint))
    for place in places:
        if (folder / place).exists():
            return folder / place
    got = f"{folder}, which holds no {places[0]}"
    raise errors.DataError(errors.message(f"--data {name}", got, "put the data there"))


def verify(path: Path, sha256: str) -> Path:
    """Return the path of a file with this SHA-256.

    Raises:
        DataError: its bytes have another.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise wrong_bytes(path, "SHA-256", found, sha256)
    return path


def unpacked(path: Path, md5: str) -> bytes:
    """Return the bytes of a file, unpacked if it is gzipped; `md5` is of these.

    Raises:
        DataError: it is damaged, or its bytes have another checksum.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise damaged(path, error) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise wrong_bytes(path, "MD5", found, md5)
    return content


def damaged(path: Path | str, error: Exception) -> errors.DataError:
    """Return the error for a file that cannot be read."""
    got = f"a file that cannot be read ({' '.join(str(error).split()) or type(error).__name__})"
    return errors.DataError(
        errors.message(str(path), got, "it is damaged or incomplete: copy it again")
    )


def wrong_bytes(path: Path, kind: str, found: str, expected: str) -> errors.DataError:
    """Return the error for a file whose checksum is not the one known."""
    got = f"bytes with {kind} {found[:12]}..., not {expected[:12]}..."
    hint = "it is another file, damaged or incomplete: copy it again"
    return errors.DataError(errors.message(str(path), got, hint))
