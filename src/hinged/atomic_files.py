"""Writes files and folders so that they are never incomplete."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r"\.hinged-(\d+)-\w+\.partial")
"""Name of an incomplete file or folder, with the id of the process that writes it."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` at the end.

    The block creates a file or a folder at the temporary path. If the block raises, that is removed
    and `path` is unchanged. A file replaces an existing file; a folder needs an unused path.
    """
    partial = path.with_name(f".hinged-{os.getpid()}-{uuid.uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def atomic_write(path: Path, contents: bytes) -> None:
    """Write a file completely, even if the power fails, or leave the old file unchanged.

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
    """Remove incomplete files and folders of killed processes, anywhere in a folder."""
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
