"""Functions that check paths, write files atomically and explain write errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from hinged import errors
from hinged.atomic_files import atomic_write

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error codes of a full disk, an exhausted quota and a file that is too large."""


def possible_path(path: Path) -> Path:
    """Return the path unchanged, if a file or folder with this path can exist.

    Raises:
        RunFolderError: if the file system allows no such path: it is too long, contains a NUL
            character, or leads to links in a circle.
    """
    reason = None
    try:
        os.stat(path)
    except ValueError:
        reason = "it contains a NUL character"
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            reason = error.strerror
    if reason is None:
        return path
    shown = repr(str(path)) if len(str(path)) < 200 else f"A path of {len(str(path))} characters"
    raise errors.RunFolderError(f"{shown} cannot be used: {reason}. Choose another path.")


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically, and create missing parent folders.

    Args:
        path: path of the file.
        content: new content of the file; a text is encoded as UTF-8.

    Raises:
        RunFolderError: if the file cannot be written. An existing file stays unchanged.
    """
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Convert an `OSError` in the `with` block into a `RunFolderError` with instructions.

    Args:
        path: file or folder that the block writes. The error message names this path.

    Raises:
        RunFolderError: if the block raises an `OSError` other than the timeout of a file lock.
    """
    try:
        yield
    except Timeout:  # An OSError of a file lock, not of the disk.
        raise
    except OSError as error:
        hint = "Free some disk space" if error.errno in _FULL else "Correct the cause"
        raise errors.RunFolderError(
            f"{path} cannot be written: {error.strerror or error}. "
            f"{hint} and run the same command again. The command skips finished work."
        ) from error
