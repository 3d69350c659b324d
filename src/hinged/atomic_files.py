"""Writes files and folders so that an interrupted program leaves no incomplete file or folder."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r"\.hinged-(\d+)-\w+\.partial")
"""Regular expression for the temporary names of files and folders that are being written.

Group 1 is the id of the process that writes the file or folder.
"""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` when the block ends.

    The block must create a file or a folder at the temporary path. If the block raises an error,
    this file or folder is removed and `path` is unchanged. If the block creates a file, an existing
    file at `path` is replaced. If the block creates a folder, `path` must not exist.
    """
    partial = path.with_name(f".hinged-{os.getpid()}-{uuid.uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def atomic_write(path: Path, contents: bytes) -> None:
    """Write a file completely, or leave the old file unchanged, even if the power fails.

    Args:
        path: the file; an existing file is replaced.
        contents: the new contents.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> atomic_write(path, b"complete")
    >>> path.read_text(), [each.name for each in path.parent.iterdir()]
    ('complete', ['note.txt'])
    """
    with atomic_path(path) as partial, partial.open("xb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def remove_partials(folder: Path) -> None:
    """Remove incomplete files and folders that were left by interrupted processes.

    Their names are the temporary names of `atomic_path`. Subfolders are searched too.
    """
    for path in folder.rglob(".hinged-*"):
        match = PARTIAL.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
