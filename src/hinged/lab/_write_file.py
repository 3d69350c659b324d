"""Writing files of the laboratory: complete or not at all, with a clear error if the disk fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from hinged import errors
from hinged.atomic_files import atomic_write

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error codes for a full disk, a used-up quota and a file that has reached its largest size."""


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically, and create its folder if necessary.

    Raises:
        RunFolderError: the file cannot be written; an older file of this name is unchanged.
    """
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into a `RunFolderError` that says what to do."""
    try:
        yield
    except Timeout:  # Raised by a lock: an OSError, but the disk works.
        raise
    except OSError as error:
        hint = "Make room there" if error.errno in _FULL else "Correct this"
        raise errors.RunFolderError(
            f"{path} cannot be written: {error.strerror or error}. "
            f"{hint} and give the same command again: it continues with what is missing."
        ) from error
