"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r"\.hinged-(\d+)-\w+\.partial")
"""The name of what is still being written; it holds the number of the process that writes."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a free path beside `path`; what is made there is renamed to `path` at the end.

    If the block raises, what it made is removed and `path` stays as it was. A folder can only take
    a name that is free; a file replaces the file of its name.
    """
    partial = path.with_name(f".hinged-{os.getpid()}-{uuid.uuid4().hex}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def atomic_write(path: Path, contents: bytes) -> None:
    """Write a file that is complete even after a power failure, or leave the old one.

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
    """Remove what killed processes have left half written anywhere in a folder."""
    for path in folder.rglob(".hinged-*"):
        match = PARTIAL.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
