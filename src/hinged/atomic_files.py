"""Writes files so that an interrupted program leaves no incomplete file."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows. It cannot rename or remove an open file.
    fcntl = None  # type: ignore[assignment]

PARTIAL = re.compile(r"\.hinged-[\w-]+\.partial")
"""Regular expression for the temporary names of files that are being written."""


def atomic_write(path: Path, contents: bytes) -> None:
    """Write a file completely, or leave the old file unchanged, even if the power fails.

    The contents are written to a temporary file in the same folder, which is then renamed.

    Args:
        path: the file; an existing file is replaced.
        contents: the new contents.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> atomic_write(path, b"complete")
    >>> path.read_text(), [each.name for each in path.parent.iterdir()]
    ('complete', ['note.txt'])
    """
    partial = path.with_name(f".hinged-{uuid.uuid4().hex}.partial")
    try:
        with _create_locked(partial) as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # Rename the file while it is locked.
                partial.replace(path)
        if fcntl is None:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove temporary files that were left in a folder or its subfolders by stopped processes.

    A process locks the temporary file that it writes, and the operating system releases the lock
    when the process ends. So files of running processes are kept. The id of the process cannot show
    this: a new process may have the same id, and another machine may have written the file.
    """
    for path in folder.rglob(".hinged-*"):
        if PARTIAL.fullmatch(path.name):
            with contextlib.suppress(OSError):  # The file is in use, or it is gone by now.
                _remove_unlocked(path)


def _create_locked(path: Path) -> BinaryIO:
    """Create a file, and lock it until it is closed.

    `remove_partials` may remove the file before it is locked. Then the file is created again.
    """
    while True:
        file = path.open("xb")
        if fcntl is not None:
            with contextlib.suppress(OSError):  # Some network file systems have no locks.
                fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists():
            return file
        file.close()


def _remove_unlocked(path: Path) -> None:
    """Remove a file. Raise an `OSError` if another process has locked it."""
    if fcntl is None:
        path.unlink()
        return
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
