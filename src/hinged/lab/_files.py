"""Files of the laboratory: whole or not at all, with a sentence where a disk does not take them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from hinged import errors
from hinged.atomic_files import atomic_write

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a user's share of it or a file is full."""


def write(path: Path, content: str | bytes) -> None:
    """Write a file, and the folders it lies in, so that it is there whole or not at all.

    Raises:
        RunFolderError: the disk does not take it; what was there before is still there.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make one sentence of what the system says where a file or folder cannot be written."""
    try:
        yield
    except Timeout:  # Of a lock: an OSError, but no fault of the disk.
        raise
    except OSError as error:
        hint = "Make room there" if error.errno in _FULL else "Mend that"
        raise errors.RunFolderError(
            f"{path} cannot be written: {error.strerror or error}. "
            f"{hint} and give the same command again: it goes on with what is missing."
        ) from error
